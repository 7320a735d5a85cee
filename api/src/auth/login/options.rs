//! Options of the login.

use reqwest::Url;
use vigie_daemon::{Check, FromSecret, Mistake, Secret, SecretArg};

use crate::auth::issuer::is_trusted;
use crate::auth::{AuthConfig, AuthMode, Scope};

const MIN_COOKIE_SECRET: usize = 32;

/// How people log in to the dashboard. Without `--login-issuer` nobody does.
#[derive(clap::Args, Clone, Debug)]
pub struct LoginConfig {
    /// OpenID Connect issuer at which people log in to the dashboard; needs --auth jwt or keys, and --auth-resource, whose path
    /// /login/callback the issuer must know
    #[arg(long, env = "VIGIE_LOGIN_ISSUER", value_name = "URL")]
    pub login_issuer: Option<String>,
    /// What that issuer knows this server by
    #[arg(long, env = "VIGIE_LOGIN_CLIENT_ID", value_name = "ID")]
    pub login_client_id: Option<String>,
    /// Password of the client; a public one has none.
    #[command(flatten)]
    pub login_client_secret: SecretArg<ClientSecret>,
    /// What seals the cookies.
    #[command(flatten)]
    pub login_cookie_secret: SecretArg<CookieSecret>,
    /// What the issuer is asked for, separated by commas
    #[arg(
        long,
        env = "VIGIE_LOGIN_REQUEST",
        value_name = "SCOPE",
        default_value = "openid,profile",
        value_delimiter = ','
    )]
    pub login_request: Vec<String>,
    /// Scopes of everybody who can log in, separated by commas, unless their tokens name scopes of this server
    #[arg(long, env = "VIGIE_LOGIN_SCOPES", value_name = "SCOPE", value_delimiter = ',')]
    pub login_scopes: Vec<Scope>,
}

/// The client's password at the issuer.
#[derive(Clone, Debug)]
pub struct ClientSecret(Secret);

impl FromSecret for ClientSecret {
    const LONG: &'static str = "login-client-secret";
    const VARIABLE: &'static str = "VIGIE_LOGIN_CLIENT_SECRET";
    const HELP: &'static str = "Password of --login-client-id at the issuer; none for a public client";
    const EXPECTED: &'static str = "a password";

    fn from_secret(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("empty".to_owned()) } else { Ok(Self(text.to_owned().into())) }
    }
}

/// What all replicas derive the key of cookies from.
#[derive(Clone, Debug)]
pub struct CookieSecret(Secret);

impl FromSecret for CookieSecret {
    const LONG: &'static str = "login-cookie-secret";
    const VARIABLE: &'static str = "VIGIE_LOGIN_COOKIE_SECRET";
    const HELP: &'static str =
        "What seals the sessions of those who log in, the same at all replicas; another one ends them all";
    const EXPECTED: &'static str = "32 bytes or more";

    fn from_secret(text: &str) -> Result<Self, String> {
        let is_long = text.len() >= MIN_COOKIE_SECRET;
        if is_long { Ok(Self(text.to_owned().into())) } else { Err(format!("{} bytes", text.len())) }
    }
}

/// The options of a login, without mistakes.
#[derive(Clone)]
pub(crate) struct LoginCheck {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret: Option<Secret>,
    pub(super) cookie_secret: Secret,
    /// Words with spaces between them.
    pub(super) request: String,
    pub(super) scopes: Vec<Scope>,
    /// Ours, as browsers know it.
    pub(super) origin: String,
}

impl LoginConfig {
    /// `None` if nobody logs in.
    pub(crate) fn check(&self, auth: &AuthConfig, mode: AuthMode) -> Result<Option<LoginCheck>, Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        let client_secret = check.part(self.login_client_secret.read());
        let Some(issuer) = &self.login_issuer else {
            let is_off = self.login_client_id.is_none()
                && self.login_client_secret.is_absent()
                && self.login_cookie_secret.is_absent()
                && self.login_scopes.is_empty();
            check.option("login-issuer", is_off, "not given beside other options of the login", "an issuer");
            return check.finish(Some(None));
        };
        let url = Url::parse(issuer).ok().filter(|url| url.query().is_none() && url.fragment().is_none());
        let shown = issuer.rsplit('@').next().unwrap_or_default();
        check.option(
            "login-issuer",
            url.as_ref().is_some_and(is_trusted),
            shown,
            "https, or http on the loopback interface",
        );
        check.option("login-issuer", mode != AuthMode::Off, "where nobody needs a token", "--auth jwt or keys");
        let client_id = self.login_client_id.clone().unwrap_or_default();
        check.option("login-client-id", !client_id.is_empty(), "not given", "what the issuer knows this server by");
        let origin = auth.auth_resource.clone();
        check.option(
            "login-issuer",
            origin.is_some(),
            "without --auth-resource",
            "the URL that the issuer sends people back to",
        );
        let is_word =
            |word: &String| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        let is_request =
            self.login_request.iter().all(is_word) && self.login_request.iter().any(|word| word == "openid");
        check.option("login-request", is_request, self.login_request.join(","), "words, openid among them");
        let is_reading = !self.login_scopes.contains(&Scope::Keys);
        check.option("login-scopes", is_reading, Scope::Keys.name(), "scopes for reading: a session changes nothing");
        let cookie_secret = check.part(self.login_cookie_secret.require());
        let secrets = client_secret.zip(cookie_secret).zip(origin);
        check.finish(secrets.map(|((client_secret, CookieSecret(cookie_secret)), origin)| {
            Some(LoginCheck {
                issuer: issuer.clone(),
                client_id,
                client_secret: client_secret.map(|ClientSecret(secret)| secret),
                cookie_secret,
                request: self.login_request.join(" "),
                scopes: self.login_scopes.clone(),
                origin,
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        auth: AuthConfig,
        #[command(flatten)]
        login: LoginConfig,
    }

    /// The options that are wrong.
    fn mistakes(mode: AuthMode, args: &str) -> Vec<String> {
        let Cli { auth, login } = Cli::parse_from(std::iter::once("api").chain(args.split_whitespace()));
        let mistakes = login.check(&auth, mode).err().unwrap_or_default();
        mistakes.iter().map(|mistake| mistake.to_string().split(' ').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_login_that_cannot_be_honoured_is_refused() {
        const WHOLE: &str = "--login-issuer=https://a.example/realms/b --login-client-id=vigie --auth-resource=https://v.example \
                             --login-cookie-secret=0123456789abcdef0123456789abcdef";
        let jwt = |args: &str| mistakes(AuthMode::Jwt, args);
        assert_eq!(jwt(""), [""; 0]);
        assert_eq!(jwt(WHOLE), [""; 0]);
        assert_eq!(mistakes(AuthMode::Keys, WHOLE), [""; 0]);
        assert_eq!(mistakes(AuthMode::Off, WHOLE), ["--login-issuer"]);
        assert_eq!(jwt("--login-client-id=vigie"), ["--login-issuer"]);
        assert_eq!(jwt(&WHOLE.replace("https://a", "http://a")), ["--login-issuer"]);
        assert_eq!(jwt(&WHOLE.replace("f0123456789abcdef", "")), ["--login-cookie-secret"]);
        assert_eq!(jwt(&WHOLE.replace("--auth-resource=https://v.example", "")), ["--login-issuer"]);
        assert_eq!(jwt(&format!("{WHOLE} --login-request=profile")), ["--login-request"]);
        assert_eq!(jwt(&format!("{WHOLE} --login-scopes=read:insights,admin:keys")), ["--login-scopes"]);
        let all = ["--login-issuer", "--login-client-id", "--login-issuer", "--login-cookie-secret"];
        assert_eq!(jwt("--login-issuer=ftp://a.example"), all);
    }
}
