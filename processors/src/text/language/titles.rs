//! Words of market news, which betray the language of a title that is too short for function words.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The languages that are distinguished in short titles.
pub(super) const LANGUAGES: [&str; 6] = ["en", "fr", "de", "es", "pt", "it"];

/// Nouns and verbs by language; one that ends in `*` is the beginning of words. A word may be in several lists: it then decides nothing between them.
const WORDS: [&str; 6] = [
    "accumulat* adoption* airdrop* announc* appeal* approv* arrest* asset* await* balance* ban bans bank banks battle* beat* behind bets bid billion* \
     blam* bleed* block* boost* bounc* brace* break* bring* bug buy* buyer* cash charge* charged chief claim* clear* climb* clos* collaps* court* \
     crack* crash* crime* cuts deal* delay* delist* demand* developer* dip* disappoint* double* down drain* dump* earn* eas* exchange* expand* expan* \
     explain* eyes fac* fail* fear* fees fight* file* fin* fine fined flaw flee* flow* fraud freez* fund* gain* gam* gaming get* gold grow* hack* halt* halving* \
     head* high higher highs hire* hit* hold* holder* inflow* insider* invest* issue* jail* jump* keep* key lack* launch* law lawmaker* lawsuit* lead* leav* \
     left level* list* listed lists look* lose* loses losing loss* low lows lower make* maker* market* miner* mining mixer* money mov* move* network* news old open* \
     outage* outflow* over own owner* partner* pay* payout* peak* plan* plead* pledge* poll* power* price* probe* profit* push* raise* rall* rate rates reach* rebound* \
     record* recover* regain* regulat* reject* releas* report* reserve* resum* retail return* reveal* ris* risk* risky roadmap rule rules rumor* rush* sale* sanction* \
     scam* sell* sentenc* set* settle* share* shut* sign* sink* slash* slid* slow* slump* soar* sold spend* spike* spot staff stak* stall* start* steady steal* steam \
     step* stock* stolen stop* struggl* sue* suffer* supply support* surg* suspend* swap* take* talk* target* tax taxes test* theft thief thieves threat* token* top tops \
     trader* trad* trial* tumbl* turn* unlock* unveil* upgrade* user* vote* wait* wallet* warn* watch* weak* week* whale* why win* winter with withdraw* won world* worldwide worth",
    "abandonn* accueill* accus* achat* acheter achèt* actif* actualité* aide* alerte* alors amende* annonc* année* appel* approuv* après arnaque* arrêt* attaqu* atteint* attend* \
     attent* autorité* avant avertit baiss* baleine* banque* berne bientôt blanchiment bloqu* bond* bondi* bourse* brusquement brutal* bénéfice* cède* cèdent chez chut* client* \
     collaps* condamn* contre corrig* coup cours coût* craint* craqu* crise* cryptomonnaie* cryptos dangereu* déboire* début* déçoi* décision* décolle* décroch* décroît dégringol* démantel* \
     demande* dépass* dépôt* dernier* dévelop* développ* dévis* devient dollars échange* échou* éclat* écop* effondr* élection* embauch* encadr* encaiss* enflamm* enquêt* entreprise* envol* \
     épingl* essouffl* état euros europe européen* explos* exige* face faible* faille* faillite* ferme* fisc flamb* fonds fort fortement fortun* frais franch* fraud* freine* frôl* gagn* gel \
     gèle* glisse* grâce grimp* gros hauss* historique* hésit* impôt* inquiet* inquièt* investi* investissement* investisseur* jeu jou* jug* jugement* justice lanc* lève* lèvent licenci* livr* \
     loi lourd* malgré marché* massiv* menac* mineur* ministre mis* mise mois monnaie* mont* montre* mort nouveau* nouvel* nouvelle* numérique* ouvre* paie* panique* panne* part parie* \
     patron* pente perd* perdent pertes piratag* pirates piraté* plac* plafonn* plainte* plateforme* plong* plonge* plusieurs portes poursui* premier* prévoi* prison prix procès profit* projet* prudence pression* quitt* rachat* \
     rachèt* rassur* rebond* rechut* reçoi* record recul* redress* refus* régul* rejet* relanc* remboursement* rembours* remont* remport* repart* repass* repli* reporté* repren* reprise reserve* résist* retir* retomb* \
     retour* retrait* réussi* réveil* révèl* revend* risqu* royaume saisi* sanctionn* secou* sécurité séduct* sédui* semaine* serré* seuil* sign* signe société* soutien* souten* stagn* suspen* symbolique* \
     tendance* tent* terrain tomb* touch* tribunal trésor vend* vendre vers vert victim* vis* voit vol vols volé* vole",
    "abgehoben abhebung* absturz* abwärts angriff* anleger* ansturm anstieg* antrag anzeige anziehen arbeit* auszahl* ausfall* ausfäll* bald bank* behörd* beschlag* betrug* betrüg* bitcoins bleib* börse* boden brech* bricht bundes* \
     chef* dank daten deutsch* deutlich* dreht droh* druck* drück* durchbr* einbruch* einig* einst* enttäusch* entlass* entläss* entwickl* erbeut* erhol* erhöht erlaub* erneut erobert erreich* erstmals \
     erwart* erzielt euro fällt fallen fiel finanz* firma firmen flieg* fliegt flieh* fonds forder* friert frisch* fusion* führt gebühr* gefahr* gefängnis gehackt geld gelder gerade gericht* gerät gesetz* gesperrt gewinn* gibt gläubiger \
     greift großbritannien gründer* grünes haft halten handel* hält heute hoch hoffnung* höhe* jahr* jetzt kampf* kämpf* kapital kauf* käuf* kein* klage* klettert knackt könnte* krise* krypto* kryptowährung* kunden kurs* lage leicht* leidet lock* marke* markt* \
     mehr milliard* million* millionen minus mitarbeiter* muss nächste* nähert neu* oben partnerschaft* plant planen pleite preis* privat* profitiert prüf* rekord* reserve* reserven rettet richt* riesig* risik* rückgang* rücken rutsch* rutscht sackt sammel* \
     schließ* schlecht* schnell* schuld* schütz* schwach* schwäch* sicherheit* sinkt sinken sparkasse* sperr* springt spring* stark* startet staat* stabil steht steig* stell* steuer* stiehlt stoppt stopp* stimm* stimmung* strafe* streng* sturz* stürz* tief* tritt trotz \
     übern* übertr* überwach* umsatz* unten unternehm* urteil* verbiet* verbot* verdoppel* verfahren verhaft* verklag* verkauf* verlag* verläss* verlier* verlust* vermögen verschieb* verschob* versch* verurteil* vorbei vorerst vorsicht vorstoß wächst wagt wale wallet* warnt warnung* wart* warum \
     wechsel* weist weiter* wert* wertvoll* widerstand* wieder* will winter* wirbt woche* zahl* zahlen zahlt zeigt zurück* zentralbank* ziel* zieht zoll* zukunft zulegen zuversicht zwei zwingt",
    "abandon* acción* acreedor* acuerdo* acusa* advierte* aguant* ahora alcanz* alcist* alemania alerta* alza anuncia* apela aplaza* aprueba* apuesta* argentina arresta* asciende* ataque* atrae* aumenta* avanza* baj* bajista* baja bajan ballena* banco* bolsa* busca* cae \
     caen caer caída* cambio* cárcel cayó cayendo cede cerca cierra* comision* compra* compran congel* condena* contra corrige* cotiza* crece* crisis cripto* criptomoneda* cuenta* dato* decepcion* demanda* demandan derrumb* desarrollad* descubre* despega* despid* desplom* detien* detenid* deuda* dinero \
     dispara* dólar* dólares dueño* duplica* empresa* enfrenta* españa espera* estable* estafa* estafad* estanc* estalla* europa expectativa* falla* fallo* firma* fiscal* fondo* fondos fracas* frena* fuerte* fuertemente fuga* gana* ganan ganancia* gobierno* golpe* hacia hackeo* hacienda histórico* hoy hunde* impuesto* \
     impulsa* incautad* incauta* inversion* inversor* invierte* investiga* jueces juez juicio* junto lanza* lidera* llega* llegan lleva* logra* lucha* mantiene* máximo* mejor* mercado* miedo* mientras miles millon* millones millonari* minero* mínimo* moneda* muere multa* multad* nueva* nuevo* nuevos número* ofrece* opera* pagar pago* paga \
     pánico país* pérdida* perdida* pierd* plan* podría* precio* presión preso prohíbe* prohib* queda quiebra* recaud* recompra* récord recorta* recuper* rechaza* red redes regula* regreso reino repunt* resist* resistencia* respald* retir* retiros retras* retrocede* revela* riesgo* roba* robo* robos robad* rojo* rompe* rumbo sale \
     salen salta* sancion* sube* suben subió subida* sufre* supera* superan suspend* tendencia* tercer* trabaj* trimestre última* vale venden vende* venta* ventas víctima* vigil* vuelve* vuelven",
    "abaixo ação* ações acordo* acusa* adia* afirma* afunda* agora aguarda* alemanha alerta* alta altas alvo amplia* anda* anuncia* apela após aposta* apreend* aprova* arrecada* ataque* atinge* atrai* atualiza* aumenta* avança* baix* baixa* baleia* banco* bate batem bilh* bilhões bilhão boato* bolsa* brasil* busca* cai \
     caem cair caindo caiu câmara câmbio capta* chega* cobra* começa* compra* compram condena* congela* conquista* continua* contra corretora* corrige* corte* crash crescem cresce* credor* criptoativo* criptomoeda* crise* dado* decepcion* decisão demite* demiss* demitem derrete* desaba* descobre* desenvolved* despenca* detido* deixa* deve* \
     dinheiro dispara* disparam diz dólar* dólares duplica* economia em empresa* enfrenta* erro estável estagna* europa expectativa* explode* explodem falência* falha* fecha* federal fica* fila foge* fogem força forte* fraude* funcionário* fundo* fundos ganha* ganho* golpe* golpis* governo* histórico* hoje imposto* investe* investidor* investig* justiça \
     lança* lançam lei libera* lidera* lista* livre lucro* maior* mercado* milh* milhões milhão mineradora* minerador* mínima* mira* moeda* mostra* mudança* multa* multad* negocia* nova* novas novo* novos oferece* paga* perde* perdem perdas plano* pode* polícia por preço* prejuízo* prende* presos pressão preso prevê* processa* processo* proíbe* queda* quebra* \
     receita* recorde* recua* recuam recuper* regula* reage* reagem resistência* retoma* risco* rompe* roubo* rouba* roubad* sai saem sair salta* saque* saques segue* seguem sobe* sobem sofre* sofrem sob suas supera* superam suspende* taxa* taxas tomba* usuário* valor* vaza* vence* vencem venda* vendas vende* vendem vermelho* vira* volta* voltam",
    "accordo* accus* acquist* affonda* aggiorna* aggiornament* allarme* alza ancora annuncia* approva* aprono apre arresta* arrestat* arretra* aspetta* attac* attende* attesa* attes* attira* aument* avverte* azion* balen* balza* banca* banche batte blocca* bloccat* bolla* borsa* borse cade cadono cala* calano calo camera cambia* \
     causa cede cerca* chiede* chiude* chiudono ci class* clienti colpit* commission* compra* comprano condanna* condannat* conferma* congela* conti continua* corregge* corsa cresce* crescono creditor* criptovalut* crisi crolla* crollano crollo delude* deludono denaro denuncia* denunc* dipendent* dollari dopo entra* esplod* estende* euro europa evita* \
     falla* fallimento* fallisc* ferma* fermo fisc* fiducia fondo* fondi forte* frena* frode* fuga furto* galera germania giudice* governo guadagn* hacker incassa* indaga* inizia* investe* investiment* investitor* italia* lancia* lanciano lascia* lasciano legge* legg* licenzi* mantien* massim* massimo* mercat* mercato* miliard* miliardi milion* milioni \
     minator* minim* momento moneta monete multa* multat* nuova* nuove nuovo* nuovi offre* oggi oro oscura* passa* paura* perde* perdono perdita* perdite piace* piattaform* poco porta* precipita* preliev* prelievi prendono pressione prezz* prezzi* primo processo* protegge* punta* quota raccogl* rallent* reale regno regol* respinge* resta* restano resistenza* ribasso* ribassist* \
     ricors* riduc* rialz* rialzo* rialzist* rimbalz* rimborsa* rimoss* rinvia* rinviat* ripart* riprend* riprende* risale* risalgono risch* rischio* riserv* risparm* rompe* rompono rosso rub* rubat* rubano sale salgono salta* scend* scende* scendono scatta* scopert* secondo sentenza* sequestrat* sequestr* settimana* sfiora* sfonda* soffre* soldi sospend* sotto \
     spinge* stop stretta* stringe* supera* superano svilupp* tass* tasse taglia* tempo tenuta tiene tocca* toccano tonfo torna* tornano tribunal* truff* truffa* ultim* valor* valore* valute vendit* vende* vendono verso vince* vincono vola* volano vigilan*",
];

/// What a beginning of a word or a word says: the languages, as bits.
struct Lexicon {
    words: HashMap<&'static str, u8>,
    stems: HashMap<&'static str, u8>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut lexicon = Lexicon { words: HashMap::new(), stems: HashMap::new() };
    for (language, words) in WORDS.iter().enumerate() {
        for word in words.split_ascii_whitespace() {
            let (map, word) = match word.strip_suffix('*') {
                Some(stem) => (&mut lexicon.stems, stem),
                None => (&mut lexicon.words, word),
            };
            *map.entry(word).or_default() |= 1 << language;
        }
    }
    lexicon
});

/// Endings of longer words.
const ENDINGS: [&[&str]; 6] = [
    &["ing", "ness", "edly"],
    &["eux", "euse", "ements", "aient", "ée", "ées", "eurs", "ique", "iques"],
    &["ungen", "tung", "rung", "dung", "nung", "keit", "heit", "lich", "schaft", "ieren"],
    &["ción", "ciones", "idad", "aron", "ieron"],
    &["ção", "ções", "idade", "ões", "aram", "eram"],
    &["zione", "zioni", "ità", "mento", "menti", "ggio"],
];

/// Letters, in tenths of a word.
const LETTERS: [(&str, [i32; 6]); 9] = [
    ("ñ¿¡", [0, 0, 0, 15, 0, 0]),
    ("ãõ", [0, 0, 0, 0, 15, 0]),
    ("ß", [0, 0, 15, 0, 0, 0]),
    ("äöü", [0, 0, 10, 0, 0, 0]),
    ("ç", [0, 7, 0, 0, 7, 0]),
    ("œèûîëï", [0, 8, 0, 0, 0, 2]),
    ("êâô", [0, 6, 0, 0, 5, 0]),
    ("éà", [0, 5, 0, 2, 3, 3]),
    ("óíúáìòù", [0, 1, 0, 4, 4, 4]),
];

/// What one word of a title says of each language, in tenths of a word.
pub(super) fn points(word: &str) -> [i32; 6] {
    let mut points = [0; 6];
    let mut languages = LEXICON.words.get(word).copied().unwrap_or_default();
    // "s'envole", "l'amende"
    let bare = word.rsplit_once('\'').map_or(word, |(_, rest)| rest);
    for (end, _) in bare.char_indices().skip(2) {
        languages |= LEXICON.stems.get(&bare[..end]).copied().unwrap_or_default();
    }
    languages |= LEXICON.stems.get(bare).or(LEXICON.words.get(bare)).copied().unwrap_or_default();
    let is_long = bare.chars().count() >= 6;
    for (language, sum) in points.iter_mut().enumerate() {
        if languages & (1 << language) != 0 {
            *sum += 10;
        } else if is_long && ENDINGS[language].iter().any(|ending| bare.ends_with(ending)) {
            *sum += 5;
        }
    }
    for (letters, each) in LETTERS {
        if !word.is_ascii() && word.contains(|c| letters.contains(c)) {
            points.iter_mut().zip(each).for_each(|(sum, more)| *sum += more);
        }
    }
    points
}
