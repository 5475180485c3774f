/**
 * Both directions busy during rehandshakes: data flows, and either side starts a new handshake in the middle of it.
 *
 *     npm run sample -- renegotiate
 *
 * You will see `listening 127.0.0.1:…`. For TLS 1.2 (renegotiations) and TLS 1.3 (key updates) you will see how often
 * each operation waited and for what, how many bytes each side sent and received, and that nothing was lost: the
 * received bytes equal the sent bytes.
 */

import { randomBytes } from 'node:crypto';

import { closeOnSignal, formatAddress, Reactor } from 'wantio';
import { selfSigned, TlsContext } from 'wantio/tls';
import type { SecureConnection, TlsVersion } from 'wantio/tls';

const SIZE = 8 * 1024 * 1024;
const ROUNDS = 6;

const { certificate, key } = selfSigned();
// A side that lets its peer renegotiate sets a maximum, because each renegotiation costs as much as a handshake.
const server = await TlsContext.server({
  certificate: { pem: certificate },
  key: { pem: key },
  allowPeerRenegotiations: ROUNDS,
});
const reactor = new Reactor();
const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
void closeOnSignal(reactor);
console.log(`listening ${formatAddress(listener.address)}`);

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) await run(version);
await reactor.close();
server.close();

async function run(version: TlsVersion): Promise<void> {
  const client = await TlsContext.client({
    ca: { pem: certificate },
    protocols: { min: version, max: version },
    allowPeerRenegotiations: ROUNDS,
  });
  const { port } = listener.address as { port: number };
  const [near, accepted] = await Promise.all([reactor.connect({ host: '127.0.0.1', port }), listener.accept()]);
  const ends = [near.secure(client, { serverName: 'localhost' }), accepted.secure(server)];
  for (const end of ends) end.timeouts = { blockMs: 10_000 };
  await Promise.all(ends.map((end) => end.handshake()));

  const waits = ends.map(countWaits);
  const data = ends.map(() => randomBytes(SIZE));
  const sent = Promise.all(ends.map((end, side) => end.send(data[side])));
  // Keep receiving until the end: a side that does not read does not notice that the peer wants a new handshake.
  const received = Promise.all(ends.map((end) => end.receive('*a')));
  for (let round = 0; round < ROUNDS; round++) {
    // The sides alternate. The promise resolves when the new handshake is complete, or the key update is being sent.
    const end = ends[round % 2];
    await (version === 'TLSv1.2' ? end.renegotiate() : end.updateKeys());
  }
  await sent;
  await Promise.all(ends.map((end) => end.shutdown('send')));
  const arrived = await received;

  ends.forEach((end, side) => {
    const { bytesIn, bytesOut, renegotiations, keyUpdates } = end.statistics;
    console.log(
      `${version}, ${side === 0 ? 'client' : 'server'}: ${String(bytesOut)} bytes out, ${String(bytesIn)} in, ${String(renegotiations)} renegotiations, ${String(keyUpdates)} key updates`,
    );
    for (const [wait, count] of waits[side]) console.log(`  ${wait}: ${String(count)} times`);
    const isWhole = Buffer.compare(arrived[side], data[1 - side]) === 0;
    console.log(isWhole ? '  nothing was lost' : '  BYTES WERE LOST');
    if (!isWhole) process.exitCode = 1;
  });
  await Promise.all(ends.map((end) => end.close()));
  client.close();
}

function countWaits(end: SecureConnection): Map<string, number> {
  const counts = new Map<string, number>();
  end.wants$.subscribe(({ operation, want }) => {
    const wait = `${operation} wants to ${want}`;
    counts.set(wait, (counts.get(wait) ?? 0) + 1);
  });
  return counts;
}
