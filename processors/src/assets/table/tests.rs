use super::*;

fn mistakes(text: &str) -> Vec<String> {
    match AssetTable::extended(text) {
        Err(AssetTableError::Invalid(mistakes)) => mistakes,
        other => panic!("{:?}", other.map(|table| table.version().to_owned())),
    }
}

#[test]
fn the_bundled_table_is_valid_and_has_the_best_known_assets() {
    let table = AssetTable::bundled().unwrap();
    assert!(table.assets().len() >= 520, "{}", table.assets().len());
    for id in [
        "BTC", "ETH", "LUNA", "UST", "USDT", "SOL", "LINK", "NEAR", "POL", "S", "RENDER", "SKY", "MKR", "KAIA", "TON",
        "USDS",
    ] {
        assert!(table.get(id).is_some(), "{id}");
    }
    assert!(table.get("UST").is_some_and(|asset| asset.stablecoin));
}

#[test]
fn all_mistakes_of_a_table_are_listed_at_once() {
    let text = r#"
        version = "1"
        [[asset]]
        id = "AAA"
        name = "A"
        tickers = ["aaa"]
        [[asset]]
        id = "BBB"
        name = "B"
        names = ["Bee", "shared"]
        [[asset]]
        id = "CCC"
        name = "C"
        names = ["shared"]
        contracts = ["0x12"]
        [[asset]]
        id = "DDD"
        name = "D"
    "#;
    let Err(AssetTableError::Invalid(mistakes)) = AssetTable::from_toml(text) else { panic!("accepted") };
    assert_eq!(mistakes.len(), 5, "{mistakes:?}");
    assert!(mistakes[3].starts_with("line 11: \"shared\" belongs to both BBB and CCC"), "{mistakes:?}");
}

#[test]
fn another_text_has_another_version() {
    let bundled = AssetTable::bundled().unwrap();
    let table = |comment: &str| AssetTable::extended(&format!("# {comment}")).unwrap();
    let (a, b) = (table("a"), table("b"));
    assert_eq!(std::collections::HashSet::from([bundled.version(), a.version(), b.version()]).len(), 3);
    let (number, digest) = a.version().split_once("+sha256:").unwrap();
    assert_eq!((number, digest.len()), ("2026.4", 12));
}

#[test]
fn a_file_adds_assets_and_strings_and_takes_others_away() {
    let table = AssetTable::extended(
        r#"
        [context]
        words = ["grundstein"]
        [[asset]]
        id = "VIG"
        name = "Vigie"
        tickers = ["VIG"]
        ambiguous = ["LOOKOUT"]
        [[asset]]
        id = "BTC"
        names = ["orange coin"]
        [[asset]]
        id = "HOT"
        remove = true
        [[asset]]
        id = "AR"
        without = ["AR"]
        [[asset]]
        id = "ARX"
        name = "Of one's own"
        tickers = ["AR"]
        "#,
    )
    .unwrap();
    let matcher = crate::assets::AssetMatcher::new(table).unwrap();
    let ids = |text: &str| matcher.find(text).iter().map(|hit| hit.asset.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids("VIG, orange coin, holochain and $HOT, AR, arweave"), ["BTC", "AR", "VIG", "ARX"]);
    assert_eq!(ids("LOOKOUT"), Vec::<String>::new());
    assert_eq!(ids("Grundstein: LOOKOUT"), ["VIG"]);
}

#[test]
fn a_file_names_companies_and_words_that_are_misspelt() {
    let table = AssetTable::extended(
        "[[asset]]\nid = \"VIG\"\nname = \"Vigie\"\ntickers = [\"VIG\"]\nnames = [\"vigiecoin\"]\ntypos = [\"vigiecoin\"]\n\
         companies = [\"vigilant insurance\"]",
    )
    .unwrap();
    let matcher = crate::assets::AssetMatcher::new(table).unwrap();
    let found = |text: &str| matcher.find(text).len();
    assert_eq!((found("the vigeicoin is out"), found("$VIG is breaking out")), (1, 1));
    assert_eq!(found("Vigilant Insurance ($VIG) pays a dividend"), 0);
    assert_eq!(
        mistakes("[[asset]]\nid = \"BTC\"\ntypos = [\"orange\"]"),
        ["line 1: asset BTC: typos \"orange\" is none of its names of six letters a to z or more"]
    );
}

#[test]
fn a_file_may_replace_all_assets() {
    let table =
        AssetTable::extended("replace = true\n[[asset]]\nid = \"VIG\"\nname = \"Vigie\"\ntickers = [\"VIG\"]").unwrap();
    assert_eq!(table.assets().len(), 1);
    assert!(!table.context().words.is_empty(), "the words of context stay");
}

#[test]
fn mistakes_in_a_file_name_their_line() {
    let clash = mistakes("\n[[asset]]\nid = \"VIG\"\nname = \"Vigie\"\ntickers = [\"BTC\"]\n");
    assert_eq!(clash, ["line 2: \"btc\" belongs to both BTC and VIG"]);
    assert_eq!(mistakes("[[asset]]\nid = \"NONE1\"\nremove = true"), ["line 1: there is no asset NONE1 to take from"]);
    assert_eq!(mistakes("[[asset]]\nid = \"VIG\"\ntickers = [\"VIG\"]"), ["line 1: asset VIG is new, expected a name"]);
    assert_eq!(
        mistakes("[[asset]]\nid = \"BTC\"\nwithout = [\"gold\"]"),
        ["line 1: asset BTC has no string \"gold\" to take away"]
    );
    let twice = "[[asset]]\nid = \"VIG\"\nname = \"a\"\ntickers = [\"VIG\"]\n[[asset]]\nid = \"VIG\"\nname = \"b\"\n";
    assert_eq!(
        mistakes(twice),
        ["line 5: asset VIG is listed twice", "line 5: asset VIG has neither a ticker nor a name"]
    );
    let Err(AssetTableError::Malformed(message)) = AssetTable::extended("[[asset]]\nid = 5") else {
        panic!("accepted")
    };
    assert!(message.contains("line 2"), "{message}");
}
