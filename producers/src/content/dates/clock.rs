//! Times of day in words: "4 p.m.", "noon", "19 h 48", "19 Uhr".

/// A text in lower case with its times of day as `19:48:12` and `4pm`.
pub(super) fn normal(text: &str) -> String {
    let mut text = text.to_owned();
    for (written, plain) in
        [("a. m.", "am"), ("p. m.", "pm"), ("a.m.", "am"), ("p.m.", "pm"), ("a.m", "am"), ("p.m", "pm")]
    {
        if text.contains(written) {
            text = text.replace(written, plain);
        }
    }
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).collect();
    let mut out = Vec::with_capacity(words.len());
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let (time, taken) = time(&words[at..]).unwrap_or_else(|| ((*word).to_owned(), 1));
        out.push(time);
        at += taken;
    }
    out.join(" ")
}

/// The time that begins here, and how many words it takes.
fn time(words: &[&str]) -> Option<(String, usize)> {
    let (first, next) = (*words.first()?, words.get(1).copied().unwrap_or_default());
    match first {
        "noon" | "midi" | "mittags" => return Some(("12:00".to_owned(), 1)),
        "midnight" | "minuit" => return Some(("00:00".to_owned(), 1)),
        _ => {}
    }
    if let Some((hour, rest)) = first.split_once('h')
        && is_number(hour)
    {
        // "19h48min"
        let minute = rest.trim_end_matches("min").trim_end_matches("mn");
        let is_time = minute.is_empty() || (is_number(minute) && minute.len() == 2);
        let minute = if minute.is_empty() { "00" } else { minute };
        return is_time.then(|| (format!("{hour}:{minute}"), 1));
    }
    if !is_number(first) {
        return None;
    }
    match next {
        "am" | "pm" => Some((format!("{first}{next}"), 2)),
        "uhr" => Some((format!("{first}:00"), 2)),
        "h" | "heure" | "heures" => {
            let mut taken = 2;
            let mut field = |units: [&str; 4]| {
                let number = words.get(taken).copied().filter(|word| is_number(word))?;
                taken += 1;
                taken += usize::from(words.get(taken).is_some_and(|word| units.contains(word)));
                Some(number)
            };
            let minute = field(["min", "mn", "minute", "minutes"]);
            let second = minute.and_then(|_| field(["s", "sec", "seconde", "secondes"]));
            Some((format!("{first}:{}:{}", minute.unwrap_or("00"), second.unwrap_or("00")), taken))
        }
        _ => None,
    }
}

fn is_number(word: &str) -> bool {
    (1..=2).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit())
}
