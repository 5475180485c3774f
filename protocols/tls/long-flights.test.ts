import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { Duplex } from 'node:stream';
import { connect } from 'node:tls';

import { expect, it } from 'vitest';

import { portOf } from '../../reactor/testing/with-reactor.ts';
import { Authority } from '../testing/tls/authority.ts';
import { withSecureReactor } from '../testing/tls/secure-reactor.ts';

const authority = new Authority();
const ca = { pem: authority.pem };
const site = authority.issue();
// Nearly as large as OpenSSL allows a chain to be.
const person = authority.issue({
  names: Array.from({ length: 3_000 }, (_, index) => `${String(index)}.someone.test`),
  purpose: 'client',
});

it.each(['present', 'other'])(
  'accepts a client certificate of over 160 KiB in one-byte records after the %s context was chosen',
  (choice) =>
    withSecureReactor(async (secure) => {
      const options = {
        certificate: { pem: site.certificate },
        key: { pem: site.key },
        ca,
        verify: ['peer', 'fail_if_no_peer_cert'] as const,
      };
      const other = await secure.server(options);
      const server = await secure.server({ ...options, chooseContext: () => (choice === 'other' ? other : undefined) });
      const listener = await secure.reactor.listen({ host: '127.0.0.1', port: 0 });
      const wire = splitting(portOf(listener));
      const client = connect({
        socket: wire.duplex,
        cert: person.certificate,
        key: person.key,
        ca: authority.pem,
        servername: 'localhost',
        maxVersion: 'TLSv1.2',
      });
      const connection = (await listener.accept()).secure(server);
      await connection.handshake();
      expect(wire.sent()).toBeGreaterThan(160 * 1024);
      client.write('hello\n');
      expect(await connection.receive()).toBe('hello');
      client.destroy();
      await once(client, 'close');
      connection.abort();
      listener.close();
    }),
);

/** A stream that splits each handshake message into records of one byte, until the client starts to encrypt. */
function splitting(port: number): { duplex: Duplex; sent: () => number } {
  const socket = connectPlain(port, '127.0.0.1');
  let isFirst = true;
  let isSealed = false;
  let sent = 0;
  let rest = Buffer.alloc(0);
  const split = (bytes: Buffer): Buffer => {
    const records = Buffer.concat([rest, bytes]);
    const pieces: Buffer[] = [];
    let at = 0;
    while (at + 5 <= records.length) {
      const end = at + 5 + records.readUInt16BE(at + 3);
      if (end > records.length) break;
      isSealed ||= records[at] !== HANDSHAKE;
      // OpenSSL needs a whole client hello to detect the version, so the first record stays whole.
      if (isSealed || isFirst) pieces.push(records.subarray(at, end));
      else
        for (let index = at + 5; index < end; index++)
          pieces.push(Buffer.from([HANDSHAKE, records[at + 1], records[at + 2], 0, 1, records[index]]));
      isFirst = false;
      at = end;
    }
    rest = records.subarray(at);
    return Buffer.concat(pieces);
  };
  const duplex = new Duplex({
    read: () => undefined,
    write: (bytes: Buffer, _, done) => {
      const pieces = split(bytes);
      sent += pieces.length;
      socket.write(pieces, () => {
        done();
      });
    },
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on('data', (bytes) => duplex.push(bytes)).on('error', () => undefined);
  return { duplex, sent: () => sent };
}

// The content type of RFC 5246, section 6.2.1.
const HANDSHAKE = 22;
