/** Certificates of both sides when we connect to `openssl s_server`. */

import { describe, expect, it } from 'vitest';

import type { TlsaRecord } from '../dane.ts';
import {
  authority,
  ca,
  caFile,
  digestOfKey,
  identity,
  person,
  revocations,
  revoked,
  shown,
  site,
  statementAbout,
  stranger,
} from '../../testing/tls/openssl-files.ts';
import { abort, failuresOf } from '../../testing/tls/pair.ts';
import { call, chat, sServer } from '../../testing/tls/peer-program.ts';
import { fileOf, isInstalled, missing } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';

const flags = { 'TLSv1.2': '-tls1_2', 'TLSv1.3': '-tls1_3' } as const;
/** The alert that a client without the required certificate gets. */
const required = { 'TLSv1.2': 40, 'TLSv1.3': 116 } as const;

describe.skipIf(!isInstalled('openssl')).each(['TLSv1.2', 'TLSv1.3'] as const)(
  `openssl s_server, under %s,${missing('openssl')}`,
  (version) => {
    it('requires our certificate, and verifies it with its chain', () =>
      withSecureReactor(async (secure) => {
        const issued = authority.intermediate().issue({ names: ['somebody@example.org'], purpose: 'client' });
        const { program, port } = await sServer(
          flags[version],
          ...shown(site),
          '-CAfile',
          caFile,
          '-Verify',
          '3',
          '-verify_return_error',
        );
        const connection = await call(secure, port, await secure.client({ ca, ...identity(issued) }));
        await connection.handshake();
        await program.says(/Client certificate[^]*subject=CN = somebody@example.org/);
        await chat(connection, program);
        expect(connection.verification()).toMatchObject({ ok: true, result: 'OK' });
        await connection.close();
        await program.kill();
      }));

    it('refuses us without a certificate', () =>
      withSecureReactor(async (secure) => {
        const { program, port } = await sServer(
          flags[version],
          ...shown(site),
          '-CAfile',
          caFile,
          '-Verify',
          '3',
          '-verify_return_error',
        );
        const connection = await call(secure, port, await secure.client({ ca }));
        // Under TLS 1.3 the client's handshake is complete before the server checks the certificate.
        if (version === 'TLSv1.3') await connection.handshake();
        expect(await failuresOf(connection.receive())).toMatchObject([
          { name: 'TlsError', side: 'remote', alert: required[version] },
        ]);
        abort(connection);
        await program.kill();
      }));

    it('gets our certificate when it requests it later', () =>
      withSecureReactor(async (secure) => {
        const { program, port } = await sServer(
          flags[version],
          ...shown(site),
          '-CAfile',
          caFile,
          '-no_resumption_on_reneg',
          '-msg',
        );
        const connection = await call(
          secure,
          port,
          await secure.client({ ca, ...identity(person), allowPeerRenegotiations: 1 }),
        );
        await connection.handshake();
        await chat(connection, program);
        const received = connection.receive();
        program.write(version === 'TLSv1.3' ? 'c\n' : 'R\n');
        await program.saysNext(
          /<<< TLS \S+, Handshake \[length \S+\], CertificateVerify[^]*<<< TLS \S+, Handshake \[length \S+\], Finished/,
        );
        program.write('thank you\n');
        expect(await received).toBe('thank you');
        await connection.close();
        await program.kill();
      }));

    it('is rejected with a certificate that is revoked, expired or from an unknown authority', () =>
      withSecureReactor(async (secure) => {
        const client = await secure.client({ ca, crls: { pem: revocations } });
        for (const [issued, reason] of [
          [revoked, 'CERT_REVOKED'],
          [authority.issue({ expired: true }), 'CERT_HAS_EXPIRED'],
          [stranger, 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
        ] as const) {
          const { program, port } = await sServer(flags[version], ...shown(issued));
          await expect((await call(secure, port, client)).handshake()).rejects.toMatchObject({
            name: 'CertificateError',
            reason,
          });
          await program.kill();
        }
        const { program, port } = await sServer(flags[version], ...shown(site));
        const connection = await call(secure, port, client);
        await connection.handshake();
        await chat(connection, program);
        await connection.close();
        await program.kill();
      }));

    it('is accepted by a matching TLSA record despite an unknown authority, and by no other record', () =>
      withSecureReactor(async (secure) => {
        const client = await secure.client();
        const { program, port } = await sServer(flags[version], ...shown(stranger));
        const record: TlsaRecord = {
          usage: 3,
          selector: 1,
          matchingType: 1,
          data: Buffer.from(digestOfKey(stranger), 'hex'),
        };
        const connection = await call(secure, port, client.with({ tlsa: [record] }));
        await connection.handshake();
        expect(connection.verification()).toMatchObject({
          ok: true,
          result: 'OK',
          tlsa: { ...record, data: new Uint8Array(record.data), depth: 0 },
        });
        await chat(connection, program);
        await connection.close();
        const other = { ...record, data: Buffer.from(digestOfKey(site), 'hex') };
        await expect((await call(secure, port, client.with({ tlsa: [other] }))).handshake()).rejects.toMatchObject({
          name: 'CertificateError',
        });
        await program.kill();
      }));

    it('sends an OCSP staple, which our client returns unchanged, if it requested one', () =>
      withSecureReactor(async (secure) => {
        const staple = statementAbout(site);
        const { program, port } = await sServer(
          flags[version],
          ...shown(site),
          '-status_file',
          fileOf('staple.der', staple),
        );
        const connection = await call(secure, port, await secure.client({ ca, requestOcspStaple: true }));
        await connection.handshake();
        expect(Buffer.compare(connection.ocspStaple() ?? Buffer.alloc(0), staple)).toBe(0);
        await connection.close();
        const other = await call(secure, port, await secure.client({ ca }));
        await other.handshake();
        expect(other.ocspStaple()).toBeUndefined();
        await other.close();
        await program.kill();
      }));
  },
);
