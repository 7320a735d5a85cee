//! Query and path parameters. An endpoint declares them once, as a struct with serde's and utoipa's derives: its fields are their
//! names, its types what is accepted and documented.

use std::borrow::Cow;
use std::fmt::Display;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error, IntoDeserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use vigie_schemas::SERVED_RUN;

use crate::http::answer;
use crate::http::problem::{Problem, WrongParameter};
use crate::time::{self, EARLIEST, LATEST, UtcTime, When};

/// A list may have this many items.
const MAX_ITEMS: usize = 50;
/// It may be this long, in characters: enough for as many ids of assets.
const MAX_LIST: usize = 4096;

/// The query parameters of a request. A request is refused with every mistake at once: values that are not accepted, parameters
/// given twice, and names that `T` does not have. `T` has a default for each.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Of an endpoint that has none.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NoParams {}

/// The parameters in the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |detail: String| Problem::invalid_parameter("path", detail);
        let params =
            RawPathParams::from_request_parts(parts, state).await.map_err(|error| refused(error.to_string()))?;
        if let Some((name, _)) = params.iter().find(|(_, value)| !is_text(value)) {
            return Err(Problem::invalid_parameter(name, NO_TEXT));
        }
        T::deserialize(MapDeserializer::new(params.iter().map(|(name, value)| (name, Value(value)))))
            .map(Self)
            .map_err(|Mistake(detail)| refused(detail))
    }
}

const NO_TEXT: &str = "expected UTF-8 without NUL";
/// What [`is_text`], as a pattern.
const TEXT: &str = r"^[^\u0000\uFFFD]+$";

/// The decoders put U+FFFD where the bytes are no UTF-8; PostgreSQL takes no NUL.
fn is_text(decoded: &str) -> bool {
    !decoded.contains(['\0', char::REPLACEMENT_CHARACTER])
}

pub(crate) fn read<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = url::form_urlencoded::parse(query.as_bytes()).collect();
    let parse = |pairs: &[(Cow<'_, str>, Cow<'_, str>)]| {
        T::deserialize(MapDeserializer::new(pairs.iter().map(|(name, value)| (name.as_ref(), Value(value)))))
    };
    let mut wrong = Vec::new();
    for (at, (name, value)) in pairs.iter().enumerate() {
        let detail = if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
            "given more than once, expected once".to_owned()
        } else if !is_text(name) || !is_text(value) {
            NO_TEXT.to_owned()
        } else if let Err(Mistake(detail)) = parse(&pairs[at..=at]) {
            detail
        } else {
            continue;
        };
        wrong.push(WrongParameter { parameter: name.chars().take(64).collect(), detail });
    }
    wrong.extend(wrong_order(&pairs));
    if wrong.is_empty() {
        parse(&pairs).map_err(|Mistake(detail)| Problem::invalid_parameter("query", detail))
    } else {
        Err(Problem::invalid_parameters(wrong))
    }
}

/// `from` must be before `to`, in every endpoint that has both.
fn wrong_order(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> Option<WrongParameter> {
    let value = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let (from, to) = (value("from")?, value("to")?);
    let (begin, end) = (time::parse_when(from).ok()?, time::parse_when_end(to).ok()?);
    let detail = format!("{from}, expected a time before to ({to})");
    (begin.is_before(end) == Some(false)).then(|| WrongParameter { parameter: "from".to_owned(), detail })
}

/// What is wrong with a value, or that there is no parameter of this name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Mistake(String);

impl Error for Mistake {
    fn custom<T: Display>(detail: T) -> Self {
        Self(detail.to_string())
    }

    fn unknown_variant(word: &str, expected: &'static [&'static str]) -> Self {
        Self(format!("{word:?}, expected {}", expected.join(", ")))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        let known = if expected.is_empty() { "none".to_owned() } else { expected.join(", ") };
        Self(format!("unknown parameter, expected {known}"))
    }
}

/// The text of one value.
struct Value<'a>(&'a str);

impl<'de> IntoDeserializer<'de, Mistake> for Value<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_some(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0 {
            "true" | "" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            other => Err(Mistake(format!("{other:?}, expected true or false"))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_enum(StrDeserializer::new(self.0))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

fn parsed<'de, D: Deserializer<'de>, T>(
    value: D,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    parse(&String::deserialize(value)?).map_err(D::Error::custom)
}

/// Implements a type of parameters: how it is read and how it is documented.
macro_rules! parameter {
    ([$(const $bound:ident: $kind:ty),*] $name:ty, $parse:expr, $schema:expr) => {
        impl<'de, $(const $bound: $kind),*> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
                parsed(value, $parse)
            }
        }

        impl<$(const $bound: $kind),*> PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl<$(const $bound: $kind),*> ToSchema for $name {}
    };
}

/// A whole number from `MIN` to `MAX`; `DEFAULT` if it is not given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Int<const MIN: i64, const MAX: i64, const DEFAULT: i64>(pub(crate) i64);

impl<const MIN: i64, const MAX: i64, const DEFAULT: i64> Default for Int<MIN, MAX, DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

parameter!(
    [const MIN: i64, const MAX: i64, const DEFAULT: i64] Int<MIN, MAX, DEFAULT>,
    |text| match text.parse() {
        Ok(value) if (MIN..=MAX).contains(&value) => Ok(Self(value)),
        _ => Err(format!("{text:?}, expected {MIN} to {MAX}")),
    },
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(MIN))
        .maximum(Some(MAX))
        .default(Some(DEFAULT.into()))
);

/// Rows per page.
pub(crate) type PageLimit = Int<1, 200, 50>;

/// Text of 1 to `MAX` characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<const MAX: usize>(pub(crate) String);

parameter!([const MAX: usize] Text<MAX>, |text| bounded::<MAX>(text).map(Self), text::<MAX>(TEXT));

fn text<const MAX: usize>(pattern: &str) -> ObjectBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(MAX));
    text.pattern(Some(pattern))
}

fn bounded<const MAX: usize>(text: &str) -> Result<String, String> {
    match text.chars().count() {
        1.. if text.chars().nth(MAX).is_none() => Ok(text.to_owned()),
        count => Err(format!("{count} characters, expected 1 to {MAX}")),
    }
}

/// An asset's id, in whatever case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssetId(pub(crate) String);

parameter!(
    [] AssetId,
    |text| if text.contains(',') {
        Err(format!("{text:?}, expected one asset"))
    } else {
        bounded::<64>(text).map(Self)
    },
    text::<64>(r"^[^,\u0000\uFFFD]+$")
);

/// The asset in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AssetPath {
    /// Id, name or alias, as BTC or bitcoin; `*` for all posts
    #[param(inline)]
    pub(crate) asset: AssetId,
}

/// `next` of an answer, see [`crate::http::cursor`].
#[derive(Clone, Debug)]
pub(crate) struct Cursor(pub(crate) String);

parameter!([] Cursor, |text| bounded::<4096>(text).map(Self), text::<4096>("^[0-9a-f]+$"));

/// The run whose results are asked for, or what is served.
#[derive(Clone, Debug)]
pub(crate) struct Run(pub(crate) String);

impl Default for Run {
    fn default() -> Self {
        Self(SERVED_RUN.to_owned())
    }
}

parameter!(
    [] Run,
    |text| bounded::<128>(text).map(Self),
    text::<128>(TEXT).default(Some(SERVED_RUN.into()))
);

/// A time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(pub(crate) When);

parameter!([] Moment, |text| time::parse_when(text).map(Self), time_or_relative());

/// The end of a range: of a date, the end of that day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End(pub(crate) When);

parameter!([] End, |text| time::parse_when_end(text).map(Self), time_or_relative());

/// Whether a range moves with the data.
pub(crate) fn is_relative(from: Option<Moment>, to: Option<End>) -> bool {
    let moves = |when| matches!(when, When::Ago(_));
    from.is_some_and(|from| moves(from.0)) || to.is_some_and(|to| moves(to.0))
}

/// All times, or those of a range; where it moves, it moves with `now`.
pub(crate) fn range(from: Option<Moment>, to: Option<End>, now: UtcTime) -> (UtcTime, UtcTime) {
    (from.map_or(UtcTime(EARLIEST), |from| from.0.at(now)), to.map_or(UtcTime(LATEST), |to| to.0.at(now)))
}

/// The time at which something was known: one of the wall clock, so it cannot be given by the newest of the data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsOf(pub(crate) UtcTime);

parameter!([] AsOf, |text| time::parse(text).map(Self), Schema::from(time_or_date().build()));

/// A score, -1 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score(pub(crate) f64);

parameter!(
    [] Score,
    |text| match text.parse() {
        Ok(value) if (-1.0..=1.0).contains(&value) => Ok(Self(value)),
        _ => Err(format!("{text:?}, expected -1 to 1")),
    },
    ObjectBuilder::new().schema_type(Type::Number).minimum(Some(-1)).maximum(Some(1))
);

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    Json,
    Csv,
    Arrow,
}

impl Format {
    /// The media type that was asked for, or else what `Accept` prefers.
    pub(crate) fn media(asked: Option<Self>, headers: &HeaderMap) -> Result<&'static str, Problem> {
        match asked {
            Some(Self::Json) => Ok(answer::JSON),
            Some(Self::Csv) => Ok(answer::CSV),
            Some(Self::Arrow) => Ok(answer::ARROW),
            None => answer::negotiate(headers, &[answer::JSON, answer::CSV, answer::ARROW]),
        }
    }
}

/// How posts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PostsFormat {
    Json,
    Csv,
    Ndjson,
    Arrow,
}

impl PostsFormat {
    /// As [`Format::media`].
    pub(crate) fn media(asked: Option<Self>, headers: &HeaderMap) -> Result<&'static str, Problem> {
        match asked {
            Some(Self::Ndjson) => Ok(answer::NDJSON),
            Some(Self::Json) => Ok(answer::JSON),
            Some(Self::Csv) => Ok(answer::CSV),
            Some(Self::Arrow) => Ok(answer::ARROW),
            None => answer::negotiate(headers, &[answer::JSON, answer::CSV, answer::NDJSON, answer::ARROW]),
        }
    }
}

fn time_or_date() -> OneOfBuilder {
    let text = |format| {
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(time::YEARS));
        text.format(Some(SchemaFormat::KnownFormat(format))).build()
    };
    OneOfBuilder::new().item(text(KnownFormat::DateTime)).item(text(KnownFormat::Date))
}

fn time_or_relative() -> Schema {
    let relative = ObjectBuilder::new().schema_type(Type::String).pattern(Some(time::RELATIVE)).build();
    time_or_date().item(relative).build().into()
}

/// Assets separated by commas.
pub(crate) type AssetIds = List<AssetId>;

/// Values separated by commas. Documented by a name without generics, which utoipa would take apart.
#[derive(Clone, Debug)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        parsed(value, |text| {
            let text = bounded::<MAX_LIST>(text)?;
            let items: Result<Vec<T>, Mistake> = text.split(',').map(|item| T::deserialize(Value(item))).collect();
            let items = items.map_err(|Mistake(detail)| detail)?;
            match items.len() {
                ..=MAX_ITEMS => Ok(Self(items)),
                count => Err(format!("{count} values, expected {MAX_ITEMS} or fewer")),
            }
        })
    }
}

impl<T: PartialSchema> PartialSchema for List<T> {
    fn schema() -> RefOr<Schema> {
        let list = ArrayBuilder::new().items(T::schema()).min_items(Some(1)).max_items(Some(MAX_ITEMS));
        Schema::Array(list.build()).into()
    }
}

impl<T: PartialSchema> ToSchema for List<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Asked {
        from: Option<Moment>,
        to: Option<End>,
        limit: PageLimit,
        lineage: bool,
        run: Run,
        words: Option<List<Word>>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Up,
        Down,
    }

    fn wrong(query: &str) -> Vec<(String, String)> {
        let problem = read::<Asked>(query).unwrap_err();
        problem.errors.iter().map(|wrong| (wrong.parameter.clone(), wrong.detail.clone())).collect()
    }

    #[test]
    fn every_mistake_is_listed() {
        let mistakes = wrong("from=yesterday&limit=0&limit=2&colour=red&lineage=maybe&words=up,left&run=%FF&to=%00");
        let names: Vec<_> = mistakes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["from", "limit", "limit", "colour", "lineage", "words", "run", "to"]);
        let details: Vec<_> = mistakes.iter().skip(1).map(|(_, detail)| detail.as_str()).collect();
        assert_eq!(details[0], "\"0\", expected 1 to 200");
        assert_eq!(details[1], "given more than once, expected once");
        assert_eq!(details[2], "unknown parameter, expected from, to, limit, lineage, run, words");
        assert_eq!(details[3], "\"maybe\", expected true or false");
        assert_eq!(details[4], "\"left\", expected up, down");
        assert_eq!(details[5], NO_TEXT);
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let asked = read::<Asked>("").unwrap();
        assert_eq!((asked.limit.0, asked.lineage, asked.run.0.as_str()), (50, false, SERVED_RUN));
        assert!(asked.from.is_none() && asked.to.is_none() && asked.words.is_none());
        let asked = read::<Asked>("lineage&words=up,down&limit=7&run=r%C3%BC").unwrap();
        assert_eq!((asked.limit.0, asked.lineage, asked.run.0.as_str()), (7, true, "rü"));
        assert_eq!(asked.words.unwrap().0, [Word::Up, Word::Down]);
    }

    #[test]
    fn from_is_before_to() {
        assert_eq!(wrong("from=2022-05-10&to=2022-05-09&colour=red").len(), 2);
        let asked = read::<Asked>("from=2022-05-09&to=2022-05-09").unwrap();
        let now = UtcTime::from_seconds(0);
        let (from, to) = (asked.from.unwrap().0.at(now), asked.to.unwrap().0.at(now));
        assert_eq!(to, from.plus(86_400), "the end of a date is the end of that day");
        assert_eq!(wrong("from=now-1h&to=now-2h").len(), 1);
        assert_eq!(wrong("from=now-1y").len(), 1);
        read::<Asked>("from=now-2h&to=now").unwrap();
        read::<Asked>("from=2022-05-09&to=now-1h").unwrap();
    }

    #[test]
    fn text_and_lists_are_bounded() {
        for bad in [
            format!("run={}", "x".repeat(129)),
            "run=".to_owned(),
            format!("words={}", "up,".repeat(500)),
            format!("words=up{}", ",up".repeat(50)),
        ] {
            assert_eq!(wrong(&bad).len(), 1, "{bad}");
        }
    }
}
