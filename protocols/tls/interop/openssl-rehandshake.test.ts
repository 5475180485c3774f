/** Handshakes in the middle of a connection, begun by us, by `openssl s_client` or by `openssl s_server`. */

import { describe, expect, it } from 'vitest';

import type { TlsClientOptions } from '../context/options.ts';
import type { SecureConnection } from '../secure-connection.ts';
import { abort, failuresOf } from '../../testing/tls/pair.ts';
import { call, chat, part, sClient, sServer, visit } from '../../testing/tls/peer-program.ts';
import { certificateFiles, isInstalled, missing } from '../../testing/tls/program.ts';
import type { Program } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';

/** Connects our client to `openssl s_server`. */
async function callServer(
  secure: SecureReactor,
  args: readonly string[],
  options?: TlsClientOptions,
): Promise<{ program: Program; connection: SecureConnection }> {
  const { certificate, key } = certificateFiles();
  const { program, port } = await sServer('-cert', certificate, '-key', key, '-msg', ...args);
  const connection = await call(secure, port, await secure.client(options));
  await connection.handshake();
  await program.saysNext(/CIPHER is/);
  return { program, connection };
}

const theirs = (message: string): RegExp => new RegExp(`>>> TLS \\S+, Handshake \\[length \\S+\\], ${message}`);
const ours = (message: string): RegExp => new RegExp(`<<< TLS \\S+, Handshake \\[length \\S+\\], ${message}`);

describe.skipIf(!isInstalled('openssl'))(`renegotiation under TLS 1.2${missing('openssl')}`, () => {
  it('works when openssl s_client begins it and is allowed to', () =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await visit(secure, await secure.server({ allowPeerRenegotiations: 1 }), (port) =>
        sClient(port, '-tls1_2', '-msg'),
      );
      await connection.handshake();
      await chat(connection, program);
      const before = connection.finished();
      const received = connection.receive();
      program.write('R\n');
      // A full handshake: s_client offers its session, but the session is not resumed.
      await program.saysNext(ours('Certificate'));
      await program.saysNext(ours('Finished'));
      program.write('done\n');
      expect(await received).toBe('done');
      expect(connection.statistics.renegotiations).toBe(1);
      expect(connection.finished().remote).not.toEqual(before.remote);
      await chat(connection, program);
      expect(await part(connection, program)).toBe(0);
    }));

  it('is refused to openssl s_client by default, which then ends the connection', () =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await visit(secure, await secure.server(), (port) =>
        sClient(port, '-tls1_2', '-msg'),
      );
      await connection.handshake();
      await chat(connection, program);
      const failure = failuresOf(connection.receive());
      program.write('R\n');
      await program.saysNext(/<<< TLS 1.2, Alert \[length 0002\], warning no_renegotiation/);
      expect(await failure).toMatchObject([{ name: 'TlsError', side: 'remote', alert: 40 }]);
      expect(connection.statistics.renegotiations).toBe(0);
      abort(connection);
      await program.kill();
    }));

  it('ends the connection when openssl s_client begins one too many', () =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await visit(secure, await secure.server({ allowPeerRenegotiations: 1 }), (port) =>
        sClient(port, '-tls1_2', '-msg'),
      );
      await connection.handshake();
      await program.saysNext(/Verify return code/);
      const failure = failuresOf(connection.receive());
      program.write('R\n');
      await program.saysNext(ours('Finished'));
      program.write('R\n');
      expect(await failure).toMatchObject([{ name: 'TlsError', reason: 'too many renegotiations' }]);
      abort(connection);
      await program.exit();
    }));

  it('works with openssl s_client when we begin it', () =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await visit(secure, await secure.server(), (port) =>
        sClient(port, '-tls1_2', '-msg'),
      );
      await connection.handshake();
      await chat(connection, program);
      const before = connection.finished();
      await connection.renegotiate();
      await program.saysNext(ours('HelloRequest'));
      expect(connection.finished().local).not.toEqual(before.local);
      expect(connection.statistics.renegotiations).toBe(1);
      await chat(connection, program);
      expect(await part(connection, program)).toBe(0);
    }));

  it('works when openssl s_server begins it and is allowed to', () =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await callServer(secure, ['-tls1_2'], { allowPeerRenegotiations: 1 });
      await chat(connection, program);
      const before = connection.finished();
      const received = connection.receive();
      program.write('r\n');
      await program.saysNext(theirs('HelloRequest'));
      await program.saysNext(theirs('Finished'));
      program.write('done\n');
      expect(await received).toBe('done');
      expect(connection.finished().local).not.toEqual(before.local);
      expect(connection.statistics.renegotiations).toBe(1);
      await chat(connection, program);
      await connection.close();
      await program.kill();
    }));

  it('is refused to openssl s_server by default', () =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await callServer(secure, ['-tls1_2']);
      const failure = failuresOf(connection.receive());
      program.write('r\n');
      await program.saysNext(/<<< TLS 1.2, Alert \[length 0002\], warning no_renegotiation/);
      expect(await failure).toMatchObject([{ name: 'TlsError', side: 'remote' }]);
      abort(connection);
      await program.kill();
    }));

  it('works with openssl s_server when we begin it and are allowed to', () =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await callServer(secure, ['-tls1_2', '-client_renegotiation']);
      const before = connection.finished();
      await connection.renegotiate();
      await program.saysNext(theirs('Finished'));
      expect(connection.finished().local).not.toEqual(before.local);
      await chat(connection, program);
      await connection.close();
      await program.kill();
    }));

  it('is refused to us by openssl s_server by default', () =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await callServer(secure, ['-tls1_2']);
      await expect(connection.renegotiate()).rejects.toMatchObject({
        name: 'TlsError',
        operation: 'renegotiate',
        reason: 'no renegotiation',
      });
      abort(connection);
      await program.kill();
    }));
});

describe.skipIf(!isInstalled('openssl'))(`key updates under TLS 1.3${missing('openssl')}`, () => {
  it.each([
    ['k', 'for itself', false],
    ['K', 'for both sides', true],
  ] as const)('openssl s_client updates its keys by the command %s, %s', (command, _, bothSides) =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await visit(secure, await secure.server(), (port) =>
        sClient(port, '-tls1_3', '-msg'),
      );
      await connection.handshake();
      await chat(connection, program);
      const received = connection.receive();
      program.write(`${command}\n`);
      // s_client confirms the command on its other stream, and updates the keys with its next send.
      await program.says(/KEYUPDATE/);
      program.write('under new keys\n');
      expect(await received).toBe('under new keys');
      await chat(connection, program);
      expect([theirs('KeyUpdate').test(program.output), ours('KeyUpdate').test(program.output)]).toEqual([
        true,
        bothSides,
      ]);
      expect(await part(connection, program)).toBe(0);
    }),
  );

  it.each([
    ['k', 'for itself', false],
    ['K', 'for both sides', true],
  ] as const)('openssl s_server updates its keys by the command %s, %s', (command, _, bothSides) =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await callServer(secure, ['-tls1_3']);
      const received = connection.receive();
      program.write(`${command}\n`);
      await program.saysNext(theirs('KeyUpdate'));
      program.write('under new keys\n');
      expect(await received).toBe('under new keys');
      await chat(connection, program);
      expect(ours('KeyUpdate').test(program.output)).toBe(bothSides);
      await connection.close();
      await program.kill();
    }),
  );

  it.each([
    ['for us', false],
    ['for both sides', true],
  ] as const)('we update the keys %s, and openssl s_client follows', (_, peerToo) =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await visit(secure, await secure.server(), (port) =>
        sClient(port, '-tls1_3', '-msg'),
      );
      await connection.handshake();
      await connection.updateKeys({ peerToo });
      await program.saysNext(ours('KeyUpdate'));
      await chat(connection, program);
      expect(theirs('KeyUpdate').test(program.output)).toBe(peerToo);
      expect(connection.statistics.keyUpdates).toBe(1);
      expect(await part(connection, program)).toBe(0);
    }),
  );

  it.each([
    ['for us', false],
    ['for both sides', true],
  ] as const)('we update the keys %s, and openssl s_server follows', (_, peerToo) =>
    withSecureReactor(async (secure) => {
      const { program, connection } = await callServer(secure, ['-tls1_3']);
      await connection.updateKeys({ peerToo });
      await program.saysNext(ours('KeyUpdate'));
      await chat(connection, program);
      expect(theirs('KeyUpdate').test(program.output)).toBe(peerToo);
      await connection.close();
      await program.kill();
    }),
  );
});
