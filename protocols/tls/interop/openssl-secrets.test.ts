/**
 * Both sides have the same parameters and secrets of a connection, as `openssl s_client` and `openssl s_server` print
 * them.
 */

import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import type { SecureConnection } from '../secure-connection.ts';
import { call, chat, part, sClient, sServer, visit } from '../../testing/tls/peer-program.ts';
import { certificateFiles, fileOf, isInstalled, missing } from '../../testing/tls/program.ts';
import type { Program } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';

const flags = { 'TLSv1.2': '-tls1_2', 'TLSv1.3': '-tls1_3' } as const;
const LABEL = 'EXPORTER-of-a-test';
const exporting = ['-keymatexport', LABEL, '-keymatexportlen', '40'];
/** The names that openssl prints for our names of groups. */
const GROUPS: Readonly<Record<string, string>> = {
  x25519: 'X25519, 253 bits',
  secp256r1: 'ECDH, prime256v1, 256 bits',
  secp384r1: 'ECDH, secp384r1, 384 bits',
};

const sorted = (lines: string): string[] =>
  lines
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .sort();

/** Collects the key log lines of a connection, from the first one on. */
function listenTo(connection: SecureConnection): string[] {
  const lines: string[] = [];
  connection.on('keylog', (line: string) => lines.push(line));
  return lines;
}

async function expectSameMaterial(connection: SecureConnection, program: Program): Promise<void> {
  const [, material] = await program.says(/Keying material: ([0-9A-F]{80})\n/);
  expect(Buffer.from(connection.exportKeyingMaterial(40, LABEL)).toString('hex').toUpperCase()).toBe(material);
}

describe.skipIf(!isInstalled('openssl')).each(['TLSv1.2', 'TLSv1.3'] as const)(
  `under %s,${missing('openssl')}`,
  (version) => {
    const is13 = version === 'TLSv1.3';

    it.each(['x25519', 'secp256r1', 'secp384r1'])(
      'openssl s_client prints the same parameters as our info(), with the group %s',
      (group) =>
        withSecureReactor(async (secure) => {
          // The curve of the certificate must be in the list too.
          const groups = `${group === 'x25519' ? 'X25519' : group}:secp256r1`.replace(
            'secp256r1:secp256r1',
            'secp256r1',
          );
          const { program, connection } = await visit(secure, await secure.server({ groups }), (port) =>
            sClient(port, flags[version], '-groups', groups),
          );
          await connection.handshake();
          await program.says(/Verify return code/);
          const info = connection.info();
          expect(info).toMatchObject({ group, protocol: version, export: false, compression: false, mac: 'AEAD' });
          expect(program.output).toContain(`New, ${version}, Cipher is ${info.cipher}\n`);
          expect(program.output).toContain(`Server Temp Key: ${GROUPS[group]}\n`);
          expect(program.output).toContain('Peer signing digest: SHA256\nPeer signature type: ECDSA\n');
          expect(program.output).toContain('Compression: NONE\n');
          if (!is13) expect(program.output).toContain('Extended master secret: yes\n');
          expect(await part(connection, program)).toBe(0);
        }),
    );

    it.each([
      ['-cipher', 'ECDHE-ECDSA-CHACHA20-POLY1305', '-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256', 256],
      ['-cipher', 'ECDHE-ECDSA-AES128-GCM-SHA256', '-ciphersuites', 'TLS_AES_128_GCM_SHA256', 128],
    ] as const)(
      'openssl s_client negotiates a given cipher with us: %s %s or %s %s',
      (...[cipherFlag, cipher, suiteFlag, suite, bits]) =>
        withSecureReactor(async (secure) => {
          const { program, connection } = await visit(secure, await secure.server(), (port) =>
            sClient(port, flags[version], cipherFlag, cipher, suiteFlag, suite),
          );
          await connection.handshake();
          expect(connection.info()).toMatchObject({ cipher: is13 ? suite : cipher, bits, algbits: bits });
          await program.says(new RegExp(`Cipher is ${is13 ? suite : cipher}\n`));
          expect(await part(connection, program)).toBe(0);
        }),
    );

    it('openssl s_client exports the same keying material, and logs the same secrets', () =>
      withSecureReactor(async (secure) => {
        const log = fileOf('client.keys', '');
        const { program, connection } = await visit(
          secure,
          await secure.server({ dangerouslyLogKeys: 'event' }),
          (port) => sClient(port, flags[version], ...exporting, '-keylogfile', log),
        );
        const lines = listenTo(connection);
        await connection.handshake();
        await expectSameMaterial(connection, program);
        expect(await part(connection, program)).toBe(0);
        expect(lines).toHaveLength(is13 ? 5 : 1);
        expect(sorted(readFileSync(log, 'utf8'))).toEqual([...lines].sort());
      }));

    it('openssl s_server exports the same keying material, and logs the same secrets', () =>
      withSecureReactor(async (secure) => {
        const { certificate, key } = certificateFiles();
        const log = fileOf('server.keys', '');
        const { program, port } = await sServer(
          flags[version],
          '-cert',
          certificate,
          '-key',
          key,
          ...exporting,
          '-keylogfile',
          log,
        );
        const connection = await call(secure, port, await secure.client({ dangerouslyLogKeys: 'event' }));
        const lines = listenTo(connection);
        await connection.handshake();
        await expectSameMaterial(connection, program);
        await chat(connection, program);
        const info = connection.info();
        expect(program.output).toContain(`CIPHER is ${info.cipher}\n`);
        await connection.close();
        await program.kill();
        expect(sorted(readFileSync(log, 'utf8'))).toEqual([...lines].sort());
      }));

    it('openssl s_client logs the same secrets that we write to a file', () =>
      withSecureReactor(async (secure) => {
        const [theirs, ours] = [fileOf('theirs.keys', ''), fileOf('ours.keys', '')];
        const server = await secure.server({ dangerouslyLogKeys: { file: ours } });
        const { program, connection } = await visit(secure, server, (port) =>
          sClient(port, flags[version], '-keylogfile', theirs),
        );
        await connection.handshake();
        await chat(connection, program);
        expect(await part(connection, program)).toBe(0);
        server.close();
        // The file is written in the background.
        await expect
          .poll(() => sorted(readFileSync(ours, 'utf8')), { timeout: 20_000 })
          .toEqual(sorted(readFileSync(theirs, 'utf8')));
      }));
  },
);
