"""An OpenID Connect issuer by another implementation of OAuth 2 and JOSE (Authlib, joserfc).

Prints its URL. Serves the discovery document, the keys, the code flow for the clients below, whose only user always agrees, and the grant
of client credentials: tokens for the audience that is asked for as scope, for as many seconds as /user?lifetime={...} says.
GET /token?alg=RS256&claims={...} issues a token with these claims, GET /rotate replaces every key, and GET /user?id={...}&access={...}
says what further ID tokens claim, and access tokens, which are no JWTs if it says nothing; the user declines with an empty id.
"""

import json
import os
import secrets
import time

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, jsonify, request
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from werkzeug.serving import WSGIRequestHandler, make_server

KINDS = {
    "RS256": lambda named: RSAKey.generate_key(2048, named),
    "PS256": lambda named: RSAKey.generate_key(2048, named),
    "ES256": lambda named: ECKey.generate_key("P-256", named),
    "Ed25519": lambda named: OKPKey.generate_key("Ed25519", named),
}
CALLBACKS = ("https://vigie.example/login/callback", "http://localhost:8080/login/callback")
# None: a public client.
CLIENTS = {"confidential": "a-password-of-a-client", "public": None}

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
app = Flask(__name__)
keys, generation, codes = {}, 0, {}
wanted = {"id": {"sub": "alice"}, "access": None, "lifetime": 3600, "issued": 0}


def rotate():
    global generation
    generation += 1
    keys.update({a: make({"kid": f"{a}-{generation}", "alg": a, "use": "sig"}) for a, make in KINDS.items()})


def issue(alg, claims):
    header = {"alg": alg, "kid": keys[alg].kid, "typ": "at+jwt"}
    return jwt.encode(header, {"iss": app.config["issuer"], **claims}, keys[alg], algorithms=[alg])


class Client(ClientMixin):
    def __init__(self, name):
        self.name, self.secret = name, CLIENTS[name]

    def get_client_id(self):
        return self.name

    def get_allowed_scope(self, scope):
        return scope

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri in CALLBACKS

    def check_client_secret(self, client_secret):
        return self.secret is not None and secrets.compare_digest(client_secret, self.secret)

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "none" if self.secret is None else method.startswith("client_secret_")

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type in ("authorization_code", "client_credentials")


class Code(AuthorizationCodeMixin):
    def __init__(self, payload):
        self.redirect_uri, self.scope, self.data = payload.redirect_uri, payload.scope, payload.data
        self.client_id, self.code_challenge = payload.client_id, payload.data.get("code_challenge")
        self.code_challenge_method = payload.data.get("code_challenge_method")

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope

    def get_nonce(self):
        return self.data.get("nonce")

    def get_auth_time(self):
        return int(time.time())

    def get_acr(self):
        return None

    get_amr = get_acr


class CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "none"]

    def save_authorization_code(self, code, request):
        codes[code] = Code(request.payload)

    def query_authorization_code(self, code, client):
        found = codes.get(code)
        return found if found and found.client_id == client.name else None

    def delete_authorization_code(self, authorization_code):
        codes.clear()

    def authenticate_user(self, authorization_code):
        return wanted["id"]


class IdToken(OpenIDCode):
    def resolve_client_private_key(self, client):
        return keys["RS256"]

    def get_client_claims(self, client):
        return {"iss": app.config["issuer"], "aud": [client.name]}

    def get_encode_header(self, client):
        return {"alg": "RS256", "kid": keys["RS256"].kid}

    def exists_nonce(self, nonce, request):
        return False

    def generate_user_info(self, user, scope):
        return user


class Issuer(IssuerParameter):
    def get_issuer(self):
        return app.config["issuer"]


def access_token(client, grant_type, user, scope):
    now = int(time.time())
    if grant_type == "client_credentials":
        wanted["issued"] += 1
        return issue("ES256", {"sub": client.name, "aud": scope, "iat": now, "exp": now + wanted["lifetime"]})
    return issue("ES256", {"iat": now, "exp": now + 3600, **wanted["access"]}) if wanted["access"] else secrets.token_hex()


app.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = access_token
server = AuthorizationServer(app, query_client=lambda name: Client(name) if name in CLIENTS else None, save_token=lambda *_: None)
server.register_grant(CodeGrant, [CodeChallenge(), IdToken(require_nonce=True)])
server.register_grant(ClientCredentialsGrant)
server.register_extension(Issuer())


@app.get("/.well-known/openid-configuration")
def discovery():
    url = app.config["issuer"]
    return {
        "issuer": url,
        "jwks_uri": f"{url}/keys",
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }


@app.get("/keys")
def key_set():
    return KeySet(list(keys.values())).as_dict(private=False)


@app.get("/authorize")
def authorize():
    grant = server.get_consent_grant(end_user=wanted["id"])
    return server.create_authorization_response(grant_user=wanted["id"] or None, grant=grant)


@app.post("/token")
def exchange():
    return server.create_token_response()


@app.get("/token")
def token():
    return jsonify(issue(request.args["alg"], json.loads(request.args["claims"])))


@app.get("/user")
def change_user():
    wanted.update({name: json.loads(value) for name, value in request.args.items()})
    return wanted


@app.get("/rotate")
def replace_keys():
    rotate()
    return jsonify(None)


class Silent(WSGIRequestHandler):
    def log(self, *_):
        pass


if __name__ == "__main__":
    rotate()
    listening = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Silent)
    app.config["issuer"] = f"http://127.0.0.1:{listening.server_port}"
    print(app.config["issuer"], flush=True)
    listening.serve_forever()
