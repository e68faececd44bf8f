"""What the small program's container runs: as init it creates a role, as main it serves what it was given."""

import json
import os
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
from psycopg.rows import TupleRow


def token(resource: str, client_id: str) -> dict[str, str]:
    url = f"{os.environ['IDENTITY_ENDPOINT']}?api-version=2019-08-01&resource={resource}&client_id={client_id}"
    request = urllib.request.Request(url, headers={"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]})
    return json.load(urllib.request.urlopen(request))


def login(role: str, client_id: str, database: str) -> psycopg.Connection[TupleRow]:
    password = token("https://ossrdbms-aad.database.windows.net", client_id)["access_token"]
    host, port = os.environ["DATABASE"].split(":")
    return psycopg.connect(host=host, port=port, user=role, password=password, dbname=database, autocommit=True)


if sys.argv[1] == "init":
    print("init ran with", os.environ["VARIABLE"][:10], flush=True)
    if os.environ["VARIABLE"] == "fail":
        sys.exit("this init container fails on purpose")
    login("connector_init", os.environ["INIT_CLIENT_ID"], "postgres").close()
else:

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/environment":
                body = json.dumps(dict(os.environ)).encode()
            elif self.path.startswith("/token/"):
                try:
                    body = json.dumps(token(self.path[7:], os.environ["MAIN_CLIENT_ID"])).encode()
                except urllib.error.HTTPError as e:
                    body = e.read()
            else:
                body = os.environ["VARIABLE"].encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    ThreadingHTTPServer(("127.0.0.1", int(os.environ["CONTAINER_APP_PORT"])), Handler).serve_forever()
