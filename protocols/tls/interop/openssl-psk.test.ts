/** Shared keys instead of certificates, with `openssl s_client` and `openssl s_server`. */

import { describe, expect, it } from 'vitest';

import { abort, failuresOf } from '../../testing/tls/pair.ts';
import { call, chat, part, sClient, sServer, visit } from '../../testing/tls/peer-program.ts';
import { isInstalled, missing } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';

const key = Buffer.from('00112233445566778899aabbccddeeff0f1e2d3c4b5a69788796a5b4c3d2e1f0', 'hex');
const hex = key.toString('hex');
const none = { certificate: undefined, key: undefined };
const flags = { 'TLSv1.2': '-tls1_2', 'TLSv1.3': '-tls1_3' } as const;

describe.skipIf(!isInstalled('openssl')).each(['TLSv1.2', 'TLSv1.3'] as const)(
  `a shared key, under %s,${missing('openssl')}`,
  (version) => {
    it('admits openssl s_client', () =>
      withSecureReactor(async (secure) => {
        const server = await secure.server({ ...none, psk: (identity) => (identity === 'me' ? key : undefined) });
        const { program, connection } = await visit(secure, server, (port) =>
          sClient(port, flags[version], '-psk', hex, '-psk_identity', 'me'),
        );
        await connection.handshake();
        await program.says(version === 'TLSv1.3' ? /Reused, TLSv1.3/ : /PSK identity: me\n/);
        await program.says(/no peer certificate available/);
        expect(connection.info()).toMatchObject({ protocol: version });
        if (version === 'TLSv1.2') expect(connection.info().authentication).toBe('PSK');
        await chat(connection, program);
        expect(await part(connection, program)).toBe(0);
      }));

    it('does not admit openssl s_client with another key, or another identity', () =>
      withSecureReactor(async (secure) => {
        const server = await secure.server({ ...none, psk: (identity) => (identity === 'me' ? key : undefined) });
        for (const args of [
          ['-psk', hex.replaceAll('0', '1'), '-psk_identity', 'me'],
          ['-psk', hex, '-psk_identity', 'you'],
        ]) {
          const { program, connection } = await visit(secure, server, (port) => sClient(port, flags[version], ...args));
          await expect(connection.handshake()).rejects.toMatchObject({ name: 'TlsError', side: 'local' });
          await program.says(/alert number \d+/);
          await program.kill();
        }
      }));

    it('admits our client to openssl s_server', () =>
      withSecureReactor(async (secure) => {
        const { program, port } = await sServer(flags[version], '-nocert', '-psk', hex, '-psk_identity', 'me');
        const connection = await call(secure, port, await secure.client({ psk: { identity: 'me', key } }));
        await connection.handshake();
        expect(connection.peerCertificate()).toBeUndefined();
        expect(connection.info().protocol).toBe(version);
        await chat(connection, program);
        await connection.close();
        await program.kill();
      }));

    it('that is wrong does not admit our client', () =>
      withSecureReactor(async (secure) => {
        const { program, port } = await sServer(flags[version], '-nocert', '-psk', hex, '-psk_identity', 'me');
        const connection = await call(
          secure,
          port,
          await secure.client({ psk: { identity: 'me', key: Buffer.alloc(32, 1) } }),
        );
        expect(await failuresOf(connection.handshake())).toMatchObject([{ name: 'TlsError', side: 'remote' }]);
        abort(connection);
        await program.kill();
      }));
  },
);

describe.skipIf(!isInstalled('openssl'))(`the pskHint of a server, under TLSv1.2,${missing('openssl')}`, () => {
  it('reaches openssl s_client from us', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({ ...none, psk: () => key, pskHint: 'which colour' });
      const { program, connection } = await visit(secure, server, (port) =>
        sClient(port, '-tls1_2', '-psk', hex, '-psk_identity', 'blue'),
      );
      await connection.handshake();
      await program.says(/PSK identity hint: which colour\n/);
      expect(await part(connection, program)).toBe(0);
    }));

  it('reaches our client from openssl s_server', () =>
    withSecureReactor(async (secure) => {
      const { program, port } = await sServer(
        '-tls1_2',
        '-nocert',
        '-psk',
        hex,
        '-psk_identity',
        'blue',
        '-psk_hint',
        'which colour',
      );
      const hints: unknown[] = [];
      const client = await secure.client({
        psk: (hint) => {
          hints.push(hint);
          return { identity: hint === undefined ? 'red' : 'blue', key };
        },
      });
      const connection = await call(secure, port, client);
      await connection.handshake();
      expect(hints).toEqual([undefined, 'which colour']);
      await chat(connection, program);
      await connection.close();
      await program.kill();
    }));
});
