//! The words of the sample posts, written for this project. `{A}` is an asset's name, `{T}` its ticker, `{B}` another asset, `{n}` a small number, `{p}` a
//! percentage, `{x}` an exchange (invented).

/// Sentences of one mood and language.
pub(super) struct Phrases {
    pub(super) titles: &'static [&'static str],
    pub(super) bodies: &'static [&'static str],
    pub(super) comments: &'static [&'static str],
}

pub(super) const EXCHANGES: [&str; 6] =
    ["Harborgate", "Tidewater Markets", "Copperline", "Northlight Exchange", "Quaymark", "Meridian Desk"];

pub(super) const GOOD: Phrases = Phrases {
    titles: &[
        "{A} is up {p} % today and the volume looks real",
        "{A} just broke out of a {n} month range",
        "Why I am more bullish on {T} than ever",
        "Fees on {A} fell by {p} % after the upgrade",
        "Big week for {A}: developers shipped everything they promised",
        "{T} leads the market higher while {B} catches its breath",
        "Another payment company adds support for {A}",
        "{A} active addresses reach a new high",
        "Finally some good news for {T} holders",
        "{x} lists {A}, volume doubles within the hour",
    ],
    bodies: &[
        "I have been following {A} for {n} years and I have never seen this much real usage. The team keeps delivering and it shows in the numbers.",
        "{T} gained {p} % since yesterday. What I like is that spot leads this move, funding is still calm and nobody is overleveraged.",
        "The {A} upgrade went live without a single hiccup. Transactions confirm faster, fees are lower, wallets just work. Great job.",
        "Moved some savings from {B} into {A} this morning and I am very happy with how cheap and quick it was.",
        "Staking rewards on {T} are holding up nicely and withdrawals took {n} minutes. Impressed.",
        "More than {n} new projects launched on {A} this month, and some of them are actually useful. The ecosystem feels alive again.",
        "Institutions keep adding {A}: three funds disclosed positions this week. Confidence is clearly coming back.",
        "Support at the old high held perfectly. If {T} closes the week here I expect a strong continuation.",
        "My local shop accepts {A} now. Paid for coffee in {n} seconds. This is what adoption looks like.",
        "Audit of the {A} bridge came back clean, which removes the worry that kept me away. Excellent news.",
    ],
    comments: &[
        "Love to see it. {T} to new highs soon.",
        "Honestly the best thing that happened to {A} this year.",
        "Bought more {T} on the way up, no regrets, up {p} % already.",
        "This is great, the {A} devs deserve the credit.",
        "Bullish. Very bullish. {A} is eating {B}'s lunch.",
        "Held {T} through the whole bear market and it finally pays off, so happy.",
        "Works perfectly for me, fastest {A} transfer I ever made.",
        "Strong hands win. {T} looks amazing here.",
        "Wow, that {A} chart is beautiful.",
        "Agreed, solid fundamentals and a team that ships.",
    ],
};

pub(super) const BAD: Phrases = Phrases {
    titles: &[
        "{A} drops {p} % in an hour, liquidations everywhere",
        "{x} halts {A} withdrawals without an explanation",
        "I lost {n} months of savings in {T}, please learn from me",
        "{A} network stalls again, blocks missing for {n} minutes",
        "Exploit drains a {A} lending pool",
        "Is {T} finished? Insiders keep selling",
        "{A} breaks support, next stop much lower",
        "Regulator opens a case over {A} sales",
        "Warning: fake {A} wallet is stealing seed phrases",
        "{T} holders are fleeing to {B}",
    ],
    bodies: &[
        "{A} crashed {p} % before anyone could react. Support tickets at {x} go unanswered and people are panicking.",
        "The outage is in its second hour. Transactions on {A} hang, stop losses do not fire, and the status page says everything is fine. Unacceptable.",
        "Someone abused a price oracle and drained the pool. The {A} team paused the contracts, but the money is gone. Awful.",
        "I sold all my {T} at a loss. Broken promises for {n} months, a roadmap nobody follows, and a founder who blames everyone else.",
        "Open interest in {T} collapsed, long positions worth millions were liquidated and there are no buyers left in the book.",
        "Fees on {A} are insane again: I paid more for the swap than the tokens were worth. Never again.",
        "This looks like a rug pull. Team wallets moved {n} million {T} to {x} right before the announcement.",
        "The lawsuit against the {A} foundation is serious. Expect delistings, expect fear, expect lower prices.",
        "My {A} has been stuck in the bridge for {n} days and nobody answers. I feel sick.",
        "Everything I hold is red but {T} is the worst of them, down {p} % this week and still bleeding.",
    ],
    comments: &[
        "Scam. Told you so about {A}.",
        "Down {p} % on {T} and it still hurts to look at it.",
        "This is terrible, I am out of {A} for good.",
        "{x} did the same to me, stay away.",
        "Another day, another {A} disaster.",
        "Panic selling everywhere, {T} is dead.",
        "They lied to us about {A}, simple as that.",
        "I trusted {A} with my savings and regret it.",
        "Awful. {B} at least does not fall over every week.",
        "No buyers. {T} goes lower from here, sadly.",
    ],
};

pub(super) const PLAIN: Phrases = Phrases {
    titles: &[
        "Daily {A} discussion",
        "How does staking {T} work in practice?",
        "{A} versus {B}: a comparison of fees",
        "{A} developers publish the notes of this week's call",
        "Which wallet do you use for {T}?",
        "{A} moves sideways ahead of the macro data",
        "Question about {A} taxes",
        "{x} publishes its monthly report on {T}",
    ],
    bodies: &[
        "The release of the next {A} client is planned in {n} weeks. The notes list the changes to the mempool and to the peer protocol.",
        "{T} traded within {p} % of yesterday's close. Volume on {x} was average.",
        "I want to move my {A} to a hardware wallet. Do I have to move everything at once or can I do it in parts?",
        "The call covered {n} proposals. Two of them concern {A} fees, one the schedule of the test network.",
        "According to the report, {A} and {B} together made up about half of the volume at {x}.",
        "Can someone explain how {A} handles finality compared with {B}?",
        "The documentation of {A} moved to a new address. The old links redirect for {n} months.",
        "I compared {n} wallets for {T}. The table is in the comments.",
    ],
    comments: &[
        "Which {A} client version is that?",
        "You can do that in the settings, under network.",
        "It took {n} confirmations when I tried with {T}.",
        "See the {A} documentation, section {n}.",
        "Same question here about {B}.",
        "The meeting is on Thursday as usual.",
        "It depends on where you live, ask a tax adviser.",
        "There is a pinned thread about {T}.",
    ],
};

pub(super) const GOOD_FR: Phrases = Phrases {
    titles: &[
        "{A} bondit de {p} % et les volumes suivent",
        "Mise à jour réussie pour {A} : les frais baissent nettement",
        "Excellente semaine pour {T}, les développeurs ont tenu parole",
        "{A} séduit une nouvelle banque européenne",
    ],
    bodies: &[
        "Le cours de {T} progresse de {p} % en un jour, porté par des achats au comptant. Les investisseurs retrouvent confiance.",
        "La mise à jour de {A} s'est déroulée sans incident : les transactions sont plus rapides et bien moins chères. Bravo à l'équipe.",
        "Je suis très content de mes {T}, le réseau fonctionne parfaitement et le projet avance enfin.",
    ],
    comments: &[
        "Super nouvelle pour {A} !",
        "Je garde mes {T}, ça va encore monter.",
        "Franchement impressionné par {A}.",
    ],
};

pub(super) const BAD_FR: Phrases = Phrases {
    titles: &[
        "{A} s'effondre de {p} % en une heure",
        "Piratage : un protocole de prêt sur {A} vidé de ses fonds",
        "{x} suspend les retraits de {T}, inquiétude des clients",
        "Nouvelle panne du réseau {A}",
    ],
    bodies: &[
        "Le cours de {T} chute de {p} % et les liquidations s'enchaînent. Les petits porteurs paniquent.",
        "Le réseau {A} est en panne depuis {n} heures et personne ne répond. C'est inadmissible.",
        "J'ai perdu presque tout ce que j'avais mis dans {A}. Quelle déception, je ne recommencerai jamais.",
    ],
    comments: &[
        "Encore une arnaque, fuyez {A}.",
        "C'est la catastrophe pour {T}.",
        "Je suis dégoûté, tout est perdu sur {A}.",
    ],
};

pub(super) const PLAIN_FR: Phrases = Phrases {
    titles: &[
        "Comment déclarer ses {T} aux impôts ?",
        "{A} : le compte rendu de la réunion des développeurs",
        "{A} stable avant la décision de la banque centrale",
    ],
    bodies: &[
        "Le cours de {T} évolue peu, à moins de {p} % de la clôture de la veille, selon {x}.",
        "La réunion a porté sur {n} propositions, dont deux concernent les frais de {A}.",
        "Quelqu'un peut-il m'expliquer la différence entre {A} et {B} ?",
    ],
    comments: &["Quelle version de {A} utilisez-vous ?", "La réunion a lieu jeudi.", "Même question pour {B}."],
};

/// How people begin.
pub(super) const OPENERS: [&str; 8] =
    ["", "", "", "", "Update: ", "So, ", "Just saw this. ", "Long time lurker here. "];

/// How people end.
pub(super) const CLOSERS: [&str; 8] =
    ["", "", "", "", " What do you think?", " Not financial advice.", " #{T}", " ${T}"];

pub(super) const FIRST: [&str; 24] = [
    "amber", "basalt", "cedar", "delta", "ember", "fjord", "garnet", "hazel", "indigo", "juniper", "kelp", "lunar",
    "maple", "nimbus", "ochre", "pepper", "quartz", "raven", "saffron", "tundra", "umber", "velvet", "willow",
    "zephyr",
];

pub(super) const LAST: [&str; 20] = [
    "anchor", "badger", "compass", "drifter", "falcon", "gale", "harbor", "island", "keeper", "lantern", "mariner",
    "north", "otter", "pilot", "quill", "reef", "sailor", "tide", "voyager", "wren",
];
