/** Certificates of both sides when `openssl s_client` connects to us. */

import { describe, expect, it } from 'vitest';

import { Authority } from '../../testing/tls/authority.ts';
import type { IssueOptions } from '../../testing/tls/authority.ts';
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
import { failuresOf } from '../../testing/tls/pair.ts';
import { chat, part, sClient, visit } from '../../testing/tls/peer-program.ts';
import { fileOf, isInstalled, missing } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';

const flags = { 'TLSv1.2': '-tls1_2', 'TLSv1.3': '-tls1_3' } as const;
/** The alert that a client without the required certificate gets. */
const required = { 'TLSv1.2': 40, 'TLSv1.3': 116 } as const;

describe.skipIf(!isInstalled('openssl')).each(['TLSv1.2', 'TLSv1.3'] as const)(
  `openssl s_client, under %s,${missing('openssl')}`,
  (version) => {
    it.each<[string, IssueOptions]>([
      ['P-256', { key: 'p256' }],
      ['P-384 and SHA-384', { key: 'p384', digest: 'sha384' }],
      ['Ed25519', { key: 'ed25519' }],
      ['RSA', { key: 'rsa2048' }],
    ])('accepts our certificate with a key of %s, and the chain above it', (_, options) =>
      withSecureReactor(async (secure) => {
        const issued = authority.intermediate().issue({ names: ['localhost'], ...options });
        const { program, connection } = await visit(secure, await secure.server(identity(issued)), (port) =>
          sClient(
            port,
            flags[version],
            '-CAfile',
            caFile,
            '-verify_return_error',
            '-verify_hostname',
            'localhost',
            '-showcerts',
          ),
        );
        await connection.handshake();
        await program.says(/Verification: OK/);
        expect(program.output.match(/BEGIN CERTIFICATE/g)?.length).toBeGreaterThanOrEqual(2);
        expect(await part(connection, program)).toBe(0);
      }),
    );

    it('gets the one of our certificates whose kind of key it supports', () =>
      withSecureReactor(async (secure) => {
        // The client must also support the kind of the authority's signature.
        const rsa = new Authority({ key: 'rsa2048' });
        const server = await secure.server({
          ...identity(site),
          identities: [identity(rsa.issue({ names: ['localhost'], key: 'rsa2048' }))],
        });
        const authorities = fileOf('authorities.pem', authority.pem + rsa.pem);
        for (const [algorithms, type] of [
          ['RSA-PSS+SHA256:RSA+SHA256', 'RSA-PSS'],
          ['ECDSA+SHA256', 'ECDSA'],
        ] as const) {
          const { program, connection } = await visit(secure, server, (port) =>
            sClient(port, flags[version], '-sigalgs', algorithms, '-CAfile', authorities, '-verify_return_error'),
          );
          await connection.handshake();
          await program.says(new RegExp(`Peer signature type: ${type}\n`));
          expect(await part(connection, program)).toBe(0);
        }
      }));

    it('rejects our certificate when it is expired or from an unknown authority, and we receive the alert', () =>
      withSecureReactor(async (secure) => {
        for (const [issued, alert] of [
          [authority.issue({ expired: true }), 45],
          [stranger, 48],
        ] as const) {
          const { program, connection } = await visit(secure, await secure.server(identity(issued)), (port) =>
            sClient(port, flags[version], '-CAfile', caFile, '-verify_return_error'),
          );
          expect(await failuresOf(connection.handshake())).toMatchObject([{ name: 'TlsError', side: 'remote', alert }]);
          await program.kill();
        }
      }));

    it('presents its certificate and chain, which we verify', () =>
      withSecureReactor(async (secure) => {
        const issued = authority.intermediate().issue({ names: ['somebody@example.org'], purpose: 'client' });
        const server = await secure.server({ ca, verify: ['peer', 'fail_if_no_peer_cert'] });
        const { program, connection } = await visit(secure, server, (port) =>
          sClient(port, flags[version], ...shown(issued)),
        );
        await connection.handshake();
        expect(connection.verification()).toMatchObject({ ok: true, result: 'OK', faults: [] });
        expect(connection.peerCertificate()?.checkEmail('somebody@example.org')).toBeDefined();
        expect(connection.peerChain()).toHaveLength(2);
        expect(connection.peerChain('verified')).toHaveLength(3);
        await program.says(/Acceptable client certificate CA names\s+CN = test root/);
        await chat(connection, program);
        expect(await part(connection, program)).toBe(0);
      }));

    it('needs no certificate when we only request one', () =>
      withSecureReactor(async (secure) => {
        const { program, connection } = await visit(secure, await secure.server({ ca, verify: 'peer' }), (port) =>
          sClient(port, flags[version]),
        );
        await connection.handshake();
        expect(connection.peerCertificate()).toBeUndefined();
        expect(connection.verification().ok).toBe(false);
        await chat(connection, program);
        expect(await part(connection, program)).toBe(0);
      }));

    it('is refused without the required certificate, and with a revoked or untrusted one', () =>
      withSecureReactor(async (secure) => {
        const server = await secure.server({
          ca,
          crls: { pem: revocations },
          verify: ['peer', 'fail_if_no_peer_cert'],
        });
        for (const [args, failure, alert] of [
          [[], { name: 'TlsError', reason: 'peer did not return a certificate' }, required[version]],
          [shown(revoked), { name: 'CertificateError', reason: 'CERT_REVOKED' }, 44],
          [shown(stranger), { name: 'CertificateError', reason: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY' }, 48],
        ] as const) {
          const { program, connection } = await visit(secure, server, (port) => sClient(port, flags[version], ...args));
          await expect(connection.handshake()).rejects.toMatchObject(failure);
          await program.says(new RegExp(`alert number ${String(alert)}`));
          await program.kill();
        }
        const { program, connection } = await visit(secure, server, (port) =>
          sClient(port, flags[version], ...shown(person)),
        );
        await connection.handshake();
        expect(await part(connection, program)).toBe(0);
      }));

    it('presents its certificate when we request it later', () =>
      withSecureReactor(async (secure) => {
        const { program, connection } = await visit(secure, await secure.server({ ca }), (port) =>
          sClient(port, flags[version], '-enable_pha', ...shown(person)),
        );
        await connection.handshake();
        expect(connection.peerCertificate()).toBeUndefined();
        await connection.requestClientCertificate();
        expect(connection.peerCertificate()?.checkEmail('somebody@example.org')).toBeDefined();
        expect(connection.verification().result).toBe('OK');
        await chat(connection, program);
        expect(await part(connection, program)).toBe(0);
      }));

    it('rejects our certificate when a revocation list contains it', () =>
      withSecureReactor(async (secure) => {
        const args = [
          flags[version],
          '-CAfile',
          caFile,
          '-CRL',
          fileOf('revoked.crl', revocations),
          '-crl_check',
          '-verify_return_error',
        ];
        const refused = await visit(secure, await secure.server(identity(revoked)), (port) => sClient(port, ...args));
        await expect(refused.connection.handshake()).rejects.toMatchObject({
          name: 'TlsError',
          side: 'remote',
          alert: 44,
        });
        await refused.program.kill();
        const { program, connection } = await visit(secure, await secure.server(identity(site)), (port) =>
          sClient(port, ...args),
        );
        await connection.handshake();
        await program.says(/Verification: OK/);
        expect(await part(connection, program)).toBe(0);
      }));

    it('accepts our certificate by a matching TLSA record, and by no other', () =>
      withSecureReactor(async (secure) => {
        const server = await secure.server(identity(stranger));
        const args = [flags[version], '-verify_return_error', '-dane_tlsa_domain', 'localhost', '-dane_tlsa_rrdata'];
        const { program, connection } = await visit(secure, server, (port) =>
          sClient(port, ...args, `3 1 1 ${digestOfKey(stranger)}`),
        );
        await connection.handshake();
        await program.says(/DANE TLSA 3 1 1 \S+ matched EE certificate at depth 0/);
        expect(await part(connection, program)).toBe(0);
        const refused = await visit(secure, server, (port) => sClient(port, ...args, `3 1 1 ${digestOfKey(site)}`));
        await expect(refused.connection.handshake()).rejects.toMatchObject({ name: 'TlsError', side: 'remote' });
        await refused.program.kill();
      }));

    it('gets our OCSP staple when it requests one', () =>
      withSecureReactor(async (secure) => {
        const staple = statementAbout(site);
        const server = await secure.server({
          ...identity(site),
          ocspStaple: () =>
            new Promise((resolve) => {
              setImmediate(resolve, staple);
            }),
        });
        const { program, connection } = await visit(secure, server, (port) =>
          sClient(port, flags[version], '-CAfile', caFile, '-status'),
        );
        await connection.handshake();
        await program.says(/OCSP Response Status: successful[^]*Cert Status: good/);
        expect(await part(connection, program)).toBe(0);
        const without = await visit(secure, await secure.server(identity(site)), (port) =>
          sClient(port, flags[version], '-status'),
        );
        await without.connection.handshake();
        await without.program.says(/OCSP response: no response sent/);
        expect(await part(without.connection, without.program)).toBe(0);
      }));
  },
);
