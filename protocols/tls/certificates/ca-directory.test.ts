import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Certificate } from './certificate.ts';
import type { TlsContext } from '../context/context.ts';
import { pemOf } from './pem-text.ts';
import { Authority } from '../../testing/tls/authority.ts';
import { element, objectIdentifier, sequence } from '../../testing/tls/der.ts';
import { abort, failuresOf, securePair, shakenPair } from '../../testing/tls/pair.ts';
import { missing } from '../../testing/tls/program.ts';
import { withSecureReactor } from '../../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../../testing/tls/secure-reactor.ts';

const [one, two, revoker] = [
  new Authority({ commonName: 'one' }),
  new Authority({ commonName: 'two' }),
  new Authority({ commonName: 'revoker' }),
];
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const derOf = (pem: string): Buffer => Buffer.from(Certificate.load(pem).der);

/** OpenSSL's X509_AUX: the certificate, then the purposes that it is trusted for and those that are rejected. */
function trusted(
  pem: string,
  { trust = [], reject = [] }: { trust?: readonly string[]; reject?: readonly string[] },
): Buffer {
  return Buffer.concat([
    derOf(pem),
    sequence(
      ...(trust.length === 0 ? [] : [sequence(...trust.map(objectIdentifier))]),
      ...(reject.length === 0 ? [] : [element(0xa0, ...reject.map(objectIdentifier))]),
    ),
  ]);
}

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wantio-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});
const put = (name: string, content: string | Uint8Array): void => {
  writeFileSync(join(folder, name), content);
};

/**
 * @returns the error with which a client that trusts the directory (or `ca`) rejects a server of `authority`;
 * `undefined` when it accepts the server.
 */
async function refusal(
  secure: SecureReactor,
  authority: Authority,
  ca: Parameters<SecureReactor['client']>[0] = { ca: { directory: folder } },
): Promise<unknown> {
  const { certificate, key } = authority.issue();
  const pair = await securePair(secure, {
    client: await secure.client(ca),
    server: await secure.server({ certificate: { pem: certificate }, key: { pem: key } }),
  });
  const [failure] = await failuresOf(...pair.map((each) => each.handshake()));
  abort(...pair);
  return failure;
}

const skippedOf = (context: TlsContext): string[][] =>
  context.skippedFiles.map(({ path, why }) => [basename(path), why]);

describe('a CA directory', () => {
  it('loads PEM, TRUSTED and DER files, and lists the files that it skips and why', () =>
    withSecureReactor(async (secure) => {
      put('a.pem', one.pem);
      put('b.pem', pemOf('TRUSTED CERTIFICATE', trusted(two.pem, { trust: [SERVER_AUTH] })));
      put('c.der', derOf(revoker.pem));
      put('README', 'read me');
      put('key.pem', one.key);
      put('noise.der', Buffer.from([0x30, 3, 1, 2, 3]));
      put('empty', '');
      mkdirSync(join(folder, 'folder'));
      symlinkSync(join(folder, 'folder'), join(folder, 'link'));
      symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'));
      execFileSync('mkfifo', [join(folder, 'fifo')]);
      const nothing = 'it holds no certificate and no revocation list, neither in PEM nor in DER';
      expect(skippedOf(await secure.client({ ca: { directory: folder } }))).toEqual([
        ['README', nothing],
        ['dangling', 'it is a broken link'],
        ['empty', nothing],
        ['fifo', 'it is not a regular file'],
        ['key.pem', nothing],
        ['link', 'it is a link to a directory'],
        ['noise.der', nothing],
      ]);
      for (const authority of [one, two, revoker]) expect(await refusal(secure, authority)).toBeUndefined();
      expect(await refusal(secure, new Authority())).toMatchObject({ name: 'CertificateError' });
    }));

  it.each([
    ['PEM', false],
    ['DER', true],
  ])('applies the trust settings of an authority in %s', (_, isDer) =>
    withSecureReactor(async (secure) => {
      for (const [settings, reason] of [
        [{ reject: [SERVER_AUTH] }, 'CERT_REJECTED'],
        // OpenSSL rejects uses that a list of trusted uses leaves out.
        [{ trust: [CLIENT_AUTH] }, 'CERT_REJECTED'],
        [{ trust: [SERVER_AUTH], reject: [SERVER_AUTH] }, 'CERT_REJECTED'],
        [{ trust: [SERVER_AUTH] }, undefined],
        [{ reject: [CLIENT_AUTH] }, undefined],
        [{}, undefined],
      ] as const) {
        const bytes = trusted(two.pem, settings);
        put('two', isDer ? bytes : pemOf('TRUSTED CERTIFICATE', bytes));
        const failure = await refusal(secure, two);
        if (reason === undefined) expect(failure, JSON.stringify(settings)).toBeUndefined();
        else expect(failure, JSON.stringify(settings)).toMatchObject({ name: 'CertificateError', reason });
      }
    }),
  );

  it('without a certificate is rejected, with the first of its files and the reason for each', () =>
    withSecureReactor(async (secure) => {
      await expect(secure.client({ ca: { directory: folder } })).rejects.toThrow(
        `the CA directory ${folder} holds no certificate: it has no files`,
      );
      for (let index = 0; index < 10; index++) put(`${String(index)}.txt`, 'x');
      await expect(secure.client({ ca: { directory: folder } })).rejects.toThrow(
        /holds no certificate: .*0\.txt \(it holds no certificate and no revocation list, neither in PEM nor in DER\), .*7\.txt \(.*\) and 2 more$/,
      );
    }));

  it('with a broken revocation list is rejected with the name of the file', () =>
    withSecureReactor(async (secure) => {
      put('a.pem', one.pem);
      put('list.pem', '-----BEGIN X509 CRL-----\nMII=\n-----END X509 CRL-----\n');
      await expect(secure.client({ ca: { directory: folder } })).rejects.toThrow(
        `${join(folder, 'list.pem')}: the revocation list holds a broken revocation list`,
      );
    }));

  it('with a broken certificate is rejected with the name of the file', () =>
    withSecureReactor(async (secure) => {
      put('a.pem', one.pem);
      put('broken.pem', two.pem + one.pem.slice(0, 200));
      await expect(secure.client({ ca: { directory: folder } })).rejects.toThrow(
        `the CA file ${join(folder, 'broken.pem')} holds a broken certificate`,
      );
    }));

  it('may contain revocation lists in DER', () =>
    withSecureReactor(async (secure) => {
      const revoked = one.issue();
      const list = one.crl([revoked.serial]);
      put('a.pem', one.pem);
      put('list.crl', Buffer.from(list.replace(/-----[^-]+-----|\s/g, ''), 'base64'));
      const client = await secure.client({ ca: { directory: folder } });
      expect(client.skippedFiles).toEqual([]);
      const pair = await securePair(secure, {
        client,
        server: await secure.server({ certificate: { pem: revoked.certificate }, key: { pem: revoked.key } }),
      });
      expect((await failuresOf(...pair.map((each) => each.handshake())))[0]).toMatchObject({ reason: 'CERT_REVOKED' });
      abort(...pair);
    }));

  it('with an unreadable file is rejected with the name of the file', () =>
    withSecureReactor(async (secure) => {
      put('a.pem', one.pem);
      // Not even root can read this file from its start.
      symlinkSync('/proc/self/mem', join(folder, 'secret.pem'));
      await expect(secure.client({ ca: { directory: folder } })).rejects.toMatchObject({
        name: 'FileError',
        path: join(folder, 'secret.pem'),
      });
    }));
});

describe('a TRUSTED CERTIFICATE block', () => {
  it('works with its settings outside of a directory too, and changes the scope of sessions', () =>
    withSecureReactor(async (secure) => {
      const rejecting = { ca: { pem: pemOf('TRUSTED CERTIFICATE', trusted(two.pem, { reject: [SERVER_AUTH] })) } };
      const trusting = { ca: { pem: pemOf('TRUSTED CERTIFICATE', trusted(two.pem, { trust: [SERVER_AUTH] })) } };
      expect(await refusal(secure, two, rejecting)).toMatchObject({ name: 'CertificateError' });
      expect(await refusal(secure, two, { ...rejecting, dangerouslyIgnorePurpose: true })).toMatchObject({
        name: 'CertificateError',
      });
      expect(await refusal(secure, two, trusting)).toBeUndefined();
      const scopes = await Promise.all(
        [rejecting, trusting, { ca: { pem: two.pem } }].map(async (options) =>
          Buffer.from((await secure.client(options)).settings.scope).toString('hex'),
        ),
      );
      expect(new Set(scopes).size).toBe(3);
    }));

  it('that rejects clientAuth keeps clients out of a server', () =>
    withSecureReactor(async (secure) => {
      const { certificate, key } = two.issue({ purpose: 'client' });
      const client = await secure.client({ certificate: { pem: certificate }, key: { pem: key } });
      for (const [settings, isIn] of [
        [{ reject: [CLIENT_AUTH] }, false],
        [{ trust: [CLIENT_AUTH] }, true],
      ] as const) {
        const server = await secure.server({
          ca: { pem: pemOf('TRUSTED CERTIFICATE', trusted(two.pem, settings)) },
          verify: 'fail_if_no_peer_cert' as 'peer',
        });
        const pair = await securePair(secure, { client, server });
        const [, failure] = await failuresOf(...pair.map((each) => each.handshake()));
        expect(failure === undefined).toBe(isIn);
        abort(...pair);
      }
    }));

  it.skipIf(missing('openssl') !== '')(`written by the openssl program is applied${missing('openssl')}`, () =>
    withSecureReactor(async (secure) => {
      put('in.pem', two.pem);
      for (const [argument, isIn] of [
        ['-addtrust', true],
        ['-addreject', false],
      ] as const) {
        const ca = {
          pem: execFileSync('openssl', ['x509', '-in', join(folder, 'in.pem'), '-trustout', argument, 'serverAuth']),
        };
        expect(ca.pem.toString()).toContain('BEGIN TRUSTED CERTIFICATE');
        expect((await refusal(secure, two, { ca })) === undefined).toBe(isIn);
      }
    }),
  );
});

it('verification() is ok for a verified server, but not for a client that was not asked for a certificate', () =>
  withSecureReactor(async (secure) => {
    const { certificate, key } = one.issue();
    const server = await secure.server({ certificate: { pem: certificate }, key: { pem: key } });
    const verified = await shakenPair(secure, { client: await secure.client({ ca: { pem: one.pem } }), server });
    expect(verified[0].verification().ok).toBe(true);
    // The server has requested no certificate.
    expect(verified[1].verification().ok).toBe(false);
    abort(...verified);
  }));
