"""An OpenID Connect issuer by another implementation of JOSE (joserfc), which comes with confluent-kafka's extras.

Prints its URL. Serves the discovery document and the keys; GET /token?alg=RS256&claims={...} issues a token with these
claims, GET /rotate replaces every key.
"""

import http.server
import json
import urllib.parse

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

KINDS = {
    "RS256": lambda named: RSAKey.generate_key(2048, named),
    "PS256": lambda named: RSAKey.generate_key(2048, named),
    "ES256": lambda named: ECKey.generate_key("P-256", named),
    "Ed25519": lambda named: OKPKey.generate_key("Ed25519", named),
}


class Provider(http.server.ThreadingHTTPServer):
    generation = 0

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.rotate()

    def rotate(self):
        self.generation += 1
        self.keys = {
            alg: make({"kid": f"{alg}-{self.generation}", "alg": alg, "use": "sig"}) for alg, make in KINDS.items()
        }


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url, server = urllib.parse.urlsplit(self.path), self.server
        query = dict(urllib.parse.parse_qsl(url.query))
        match url.path:
            case "/.well-known/openid-configuration":
                answer = {"issuer": server.issuer, "jwks_uri": f"{server.issuer}/keys"}
            case "/keys":
                answer = KeySet(list(server.keys.values())).as_dict(private=False)
            case "/token":
                key = server.keys[query["alg"]]
                claims = {"iss": server.issuer, **json.loads(query["claims"])}
                header = {"alg": query["alg"], "kid": key.kid, "typ": "at+jwt"}
                answer = jwt.encode(header, claims, key, algorithms=[query["alg"]])
            case "/rotate":
                answer = server.rotate()
            case _:
                return self.send_error(404)
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    provider = Provider()
    print(provider.issuer, flush=True)
    provider.serve_forever()
