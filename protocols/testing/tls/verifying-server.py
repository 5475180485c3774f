"""A server with Python's ssl module that requests client certificates. The program itself sets no session id context.
python3 verifying-server.py CERTIFICATE KEY AUTHORITY VERSION"""
import socket
import ssl
import sys

certificate, key, authority, version = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
context.load_verify_locations(authority)
context.verify_mode = ssl.CERT_OPTIONAL
context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3 if version == 'TLSv1.3' else ssl.TLSVersion.TLSv1_2
listener = socket.create_server(('127.0.0.1', 0))
print('listening', listener.getsockname()[1], flush=True)
while True:
    plain, _ = listener.accept()
    try:
        with context.wrap_socket(plain, server_side=True) as connection:
            connection.sendall(b'loop test\n')
    except OSError:
        plain.close()
