/**
 * A certificate proved by the DNS instead of an authority (DANE): a TLSA record says which one a server must show.
 *
 *     npm run sample -- dane
 *
 * You will see `listening 127.0.0.1:…`, the record that belongs to the server's certificate as it would stand in a zone
 * file, a client that has this record and gets through although no authority knows the certificate, and one with the
 * record of another certificate, which does not. Whether the DNS can be trusted (DNSSEC) is for its resolver to find
 * out: here the record is handed over.
 */

import { closeOnSignal, formatAddress, Reactor } from 'wantio';
import { Certificate, selfSigned, TlsContext } from 'wantio/tls';
import type { TlsaRecord } from 'wantio/tls';

const { certificate, key } = selfSigned();
const server = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } });
const client = await TlsContext.client(); // It knows the authorities that everybody knows, and none of them has signed this one.

const reactor = new Reactor();
const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
listener.serve({ secure: server, timeouts: { totalMs: 5_000 } }, async (connection) => {
  await connection.send('hello\n');
});
void closeOnSignal(reactor);
const { port } = listener.address as { port: number };
console.log(`listening ${formatAddress(listener.address)}`);

/**
 * 3 1 1: the server's own certificate, its public key, by SHA-256. It holds as long as the key does, renewals included.
 */
function recordOf(pem: string): TlsaRecord {
  return {
    usage: 3,
    selector: 1,
    matchingType: 1,
    data: Buffer.from(Certificate.load(pem).publicKeyDigest(), 'base64'),
  };
}

function lineOf({ usage, selector, matchingType, data }: TlsaRecord): string {
  return `_${String(port)}._tcp.localhost. IN TLSA ${String(usage)} ${String(selector)} ${String(matchingType)} ${Buffer.from(data).toString('hex')}`;
}

const right = recordOf(certificate);
console.log(lineOf(right));
await visit('with the right record', right);
await visit('with the record of another certificate', recordOf(selfSigned().certificate));
await reactor.close();
client.close();
server.close();

async function visit(how: string, record: TlsaRecord): Promise<void> {
  try {
    const connection = await reactor.connectSecure({
      host: 'localhost',
      port,
      secure: client.with({ tlsa: [record] }),
      timeouts: { totalMs: 5_000 },
    });
    console.log(
      `${how}: the server says "${await connection.receive()}", proved by the record at depth ${String(connection.verification().tlsa?.depth)}`,
    );
    await connection.close();
  } catch (error) {
    console.log(`${how}: ${(error as Error).message}`);
  }
}
