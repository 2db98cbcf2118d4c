#!/usr/bin/env python3
"""WeChat Pay's own name in front of the simulator, for clients that have its address built in.

A proxy for one host: it takes CONNECT api.mch.weixin.qq.com:443 and nothing else, speaks TLS there with a certificate
of its own, and passes every byte on to the simulator. A client gets it as its proxy, and ca.pem as its only authority,
by the settings that it has for that; neither the client nor its HTTP library is changed.

    front.py SIMULATOR FOLDER    e.g. front.py http://127.0.0.1:4000 /tmp/x

FOLDER then has ca.pem and, once it listens, proxy.url.
"""

import os
import socket
import ssl
import subprocess
import sys
import threading
from urllib.parse import urlsplit

HOST = "api.mch.weixin.qq.com"
HEAD_LIMIT = 8192
PATIENCE_S = 30


def make_certificates(folder):
    """An authority and a certificate for HOST, both good for two days."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=folder, stderr=subprocess.DEVNULL)

    new = ["req", "-x509", "-new", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    openssl(*new, "-subj", "/CN=pay-common tests", "-addext", "keyUsage=critical,keyCertSign",
            "-keyout", "ca.key", "-out", "ca.pem")
    openssl(*new, "-subj", f"/CN={HOST}", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-addext", f"subjectAltName=DNS:{HOST}", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "extendedKeyUsage=serverAuth", "-keyout", "host.key", "-out", "host.pem")


def read_head(client):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte or len(head) > HEAD_LIMIT:
            return None
        head += byte
    return head


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass  # One side has gone; so does the other, below.
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It was gone before.


def serve(client, context, simulator):
    with client:
        client.settimeout(PATIENCE_S)
        head = read_head(client)
        if head is None:
            return
        if head.split(b"\r\n")[0].split(b" ")[:2] != [b"CONNECT", f"{HOST}:443".encode()]:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            inside = context.wrap_socket(client, server_side=True)
        except (OSError, ssl.SSLError) as error:
            print(f"front: no TLS with the client: {error}", file=sys.stderr)
            return
        with inside, socket.create_connection(simulator, PATIENCE_S) as outside:
            back = threading.Thread(target=pump, args=(outside, inside), daemon=True)
            back.start()
            pump(inside, outside)
            back.join()


def main():
    simulator, folder = urlsplit(sys.argv[1]), sys.argv[2]
    if simulator.scheme != "http" or simulator.hostname != "127.0.0.1":
        sys.exit("front: the simulator is on 127.0.0.1")
    make_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "host.pem"), os.path.join(folder, "host.key"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with open(os.path.join(folder, "proxy.new"), "w", encoding="ascii") as file:
            file.write(f"http://127.0.0.1:{listener.getsockname()[1]}")
        os.rename(os.path.join(folder, "proxy.new"), os.path.join(folder, "proxy.url"))
        while True:
            client, _ = listener.accept()
            to = (simulator.hostname, simulator.port)
            threading.Thread(target=serve, args=(client, context, to), daemon=True).start()


if __name__ == "__main__":
    main()
