/**
 * A certificate that is verified by DNS instead of an authority (DANE): a TLSA record says which certificate the server
 * must present.
 *
 *     npm run sample -- dane
 *
 * You will see `listening 127.0.0.1:…`, and the record for the server's certificate as it would stand in a zone file. A
 * client with this record connects, although no authority has signed the certificate. A client with the record of
 * another certificate does not. Whether the DNS answer is authentic (DNSSEC) is the resolver's task; here the record is
 * simply passed to the client.
 */

import { closeOnSignal, formatAddress, Reactor } from 'wantio';
import { Certificate, selfSigned, TlsContext } from 'wantio/tls';
import type { TlsaRecord } from 'wantio/tls';

const { certificate, key } = selfSigned();
const server = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key } });
// Trusts the authorities that Node.js bundles. None of them has signed the server's certificate.
const client = await TlsContext.client();

const reactor = new Reactor();
const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
listener.serve({ secure: server, timeouts: { totalMs: 5_000 } }, async (connection) => {
  await connection.send('hello\n');
});
void closeOnSignal(reactor);
const { port } = listener.address as { port: number };
console.log(`listening ${formatAddress(listener.address)}`);

/**
 * 3 1 1: the server's own certificate, its public key, by SHA-256. The record stays valid as long as the key, also
 * after a renewal of the certificate.
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
