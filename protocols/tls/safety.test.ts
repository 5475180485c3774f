/**
 * Each fault of a certificate ends the handshake with its own reason. The handshake passes only when the caller accepts
 * exactly that fault.
 */

import { describe, expect, it } from 'vitest';

import { Certificate } from './certificates/certificate.ts';
import type { SecureConnection } from './secure-connection.ts';
import type { TlsClientOptions } from './context/options.ts';
import { Authority } from '../testing/tls/authority.ts';
import type { Issued } from '../testing/tls/authority.ts';
import { abort, failuresOf, securePair, shakenPair, talk } from '../testing/tls/pair.ts';
import { localhost, withSecureReactor } from '../testing/tls/secure-reactor.ts';
import type { SecureReactor } from '../testing/tls/secure-reactor.ts';
import type { VerifyErrorName } from './certificates/verify-errors.ts';

const authority = new Authority();
const ca = { pem: authority.pem };
const good = authority.issue();
const revoked = authority.issue();

interface Wrong {
  readonly what: string;
  readonly shown: { readonly certificate: string; readonly key: string };
  readonly reason: VerifyErrorName;
  readonly depth?: number;
  /** The client's options with which the handshake fails. */
  readonly with?: TlsClientOptions;
  /** Options with which it passes, in addition to accepting the fault by its name. */
  readonly passes?: readonly TlsClientOptions[];
  readonly serverOptions?: object;
}

const chainOf = (issued: Issued) => ({ certificate: issued.chain, key: issued.key });
const middle = authority.intermediate();
const deep = authority.intermediate().intermediate().intermediate().issue();
const weakKey = authority.issue({ key: 'rsa1024' });
const weakDigest = authority.issue({ digest: 'sha1' });
// The server must be allowed to present a certificate that the client must not accept.
const weakServer = { dangerouslyLowerSecurityLevel: 0 } as const;

const WRONGS: readonly Wrong[] = [
  { what: 'an expired certificate', shown: authority.issue({ expired: true }), reason: 'CERT_HAS_EXPIRED' },
  {
    what: 'a certificate that is not yet valid',
    shown: authority.issue({ notYetValid: true }),
    reason: 'CERT_NOT_YET_VALID',
  },
  { what: 'an unknown self-signed certificate', shown: localhost, reason: 'DEPTH_ZERO_SELF_SIGNED_CERT', passes: [] },
  {
    what: 'a certificate for another host',
    shown: authority.issue({ names: ['other.test'] }),
    reason: 'HOSTNAME_MISMATCH',
    passes: [{ dangerouslySkipNameCheck: true }],
  },
  {
    what: 'a certificate with the host only as its common name',
    shown: authority.issue({ names: ['localhost'], subjectAltName: false }),
    reason: 'HOSTNAME_MISMATCH',
    passes: [{ dangerouslyUseOldNameRules: true }],
  },
  {
    what: 'a certificate for another purpose',
    shown: authority.issue({ purpose: 'client' }),
    reason: 'INVALID_PURPOSE',
    passes: [{ dangerouslyIgnorePurpose: true }],
  },
  {
    what: 'a revoked certificate',
    shown: revoked,
    reason: 'CERT_REVOKED',
    with: { crls: { pem: authority.crl([revoked.serial]) } },
  },
  {
    what: 'a certificate without a revocation list',
    shown: good,
    reason: 'UNABLE_TO_GET_CRL',
    with: { crlCheck: 'leaf' },
  },
  {
    what: 'a certificate with an expired revocation list',
    shown: good,
    reason: 'CRL_HAS_EXPIRED',
    with: { crls: { pem: authority.crl([], { expired: true }) } },
  },
  {
    what: 'a chain that is deeper than allowed',
    shown: chainOf(deep),
    reason: 'CERT_CHAIN_TOO_LONG',
    with: { depth: 1 },
    passes: [{ depth: 3 }],
  },
  {
    what: 'a certificate with a weak key',
    shown: weakKey,
    reason: 'EE_KEY_TOO_SMALL',
    passes: [{ dangerouslyLowerSecurityLevel: 0 }],
    serverOptions: weakServer,
  },
  {
    what: 'a certificate that is signed with a weak digest',
    shown: weakDigest,
    reason: 'CA_MD_TOO_WEAK',
    passes: [{ dangerouslyLowerSecurityLevel: 0 }],
    serverOptions: weakServer,
  },
  {
    what: 'a certificate without its intermediate',
    shown: middle.issue(),
    reason: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    passes: [{ ca: [ca, { pem: middle.pem }] }],
  },
];

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('verification under %s rejects', (max) => {
  const protocols = { max };
  async function outcome(
    secure: SecureReactor,
    { shown, serverOptions }: Wrong,
    options: TlsClientOptions,
  ): Promise<{ pair: [SecureConnection, SecureConnection]; failure: unknown }> {
    const server = await secure.server({
      certificate: { pem: shown.certificate },
      key: { pem: shown.key },
      ...serverOptions,
    });
    const pair = await securePair(secure, { client: await secure.client({ ca, protocols, ...options }), server });
    const [failure] = await failuresOf(pair[0].handshake(), pair[1].handshake());
    return { pair, failure };
  }

  it.each(WRONGS)('$what', (wrong) =>
    withSecureReactor(async (secure) => {
      const { pair, failure } = await outcome(secure, wrong, wrong.with ?? {});
      expect(failure).toMatchObject({ reason: wrong.reason });
      expect((failure as Error).name).toMatch(/^(?:Certificate|WrongHost)Error$/);
      abort(...pair);
      // The handshake passes when exactly this fault is accepted, and verification() lists the fault. It fails when
      // only another fault is accepted.
      const accepting = await outcome(secure, wrong, {
        ...wrong.with,
        dangerouslyAccept: FAULTS_ALONG[wrong.reason] ?? [wrong.reason],
      });
      expect(accepting.failure).toBeUndefined();
      expect(accepting.pair[0].verification()).toMatchObject({ ok: false });
      expect(accepting.pair[0].verification().faults.map(({ reason }) => reason)).toContain(wrong.reason);
      await talk(...accepting.pair);
      abort(...accepting.pair);
      const others = await outcome(secure, wrong, {
        ...wrong.with,
        dangerouslyAccept: [wrong.reason === 'CERT_HAS_EXPIRED' ? 'CERT_REVOKED' : 'CERT_HAS_EXPIRED'],
      });
      expect(others.failure).toMatchObject({ reason: wrong.reason });
      abort(...others.pair);
      for (const passes of [
        ...(wrong.passes ?? []),
        { dangerouslyAccept: 'all' } as const,
        { dangerouslyVerifyNobody: true } as const,
      ]) {
        const passed = await outcome(secure, wrong, { ...wrong.with, ...passes });
        expect(passed.failure, JSON.stringify(passes)).toBeUndefined();
        abort(...passed.pair);
      }
    }),
  );

  it('nothing when the certificate has no fault', () =>
    withSecureReactor(async (secure) => {
      const { pair, failure } = await outcome(
        secure,
        { what: '', shown: good, reason: 'UNSPECIFIED' },
        { crls: { pem: authority.crl([revoked.serial]) } },
      );
      expect(failure).toBeUndefined();
      expect(pair[0].verification()).toMatchObject({ ok: true, faults: [] });
      abort(...pair);
    }));

  it('every certificate but the pinned one', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({ certificate: { pem: good.certificate }, key: { pem: good.key } });
      const context = await secure.client({ ca, protocols });
      const pair = await shakenPair(secure, { client: context, server });
      const digest = pair[0].peerCertificate()?.digest('sha256');
      abort(...pair);
      const pinned = await shakenPair(secure, { client: context.with({ expect: { digest } }), server });
      await talk(...pinned);
      abort(...pinned);
      const refused = await securePair(secure, {
        client: context.with({ expect: { digest: 'ab'.repeat(32) } }),
        server,
      });
      const [failure] = await failuresOf(refused[0].handshake(), refused[1].handshake());
      expect(failure).toMatchObject({ name: 'WrongCertificateError', operation: 'handshake' });
      abort(...refused);
    }));

  it('every certificate but the one that the connection pins, whatever its context pins', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({ certificate: { pem: good.certificate }, key: { pem: good.key } });
      const right = { digest: Certificate.load(good.certificate).digest() };
      const wrong = { digest: 'ab'.repeat(32) };
      for (const [ofContext, ofConnection, failure] of [
        [right, wrong, 'WrongCertificateError'],
        [wrong, right, undefined],
        [right, undefined, undefined],
        [wrong, undefined, 'WrongCertificateError'],
      ] as const) {
        const context = await secure.client({ ca, protocols, expect: ofContext });
        const pair = await securePair(secure, {
          client: ofConnection === undefined ? context : context.with({ expect: ofConnection }),
          server,
        });
        const [near] = await failuresOf(pair[0].handshake(), pair[1].handshake());
        expect((near as Error | undefined)?.name).toBe(failure);
        abort(...pair);
      }
    }));

  it('a client with another certificate than the expected one, or with none', () =>
    withSecureReactor(async (secure) => {
      const person = authority.issue({ names: ['somebody.test'] });
      const server = await secure.server({ verify: 'peer', ca, expect: { name: 'somebody.test' } });
      const other = authority.issue({ names: ['other.test'] });
      for (const [issued, name] of [
        [other, 'WrongHostError'],
        [undefined, 'NoCertificateError'],
        [person, undefined],
      ] as const) {
        const pair = await securePair(secure, {
          client: await secure.client({
            protocols,
            ...(issued === undefined ? {} : { certificate: { pem: issued.certificate }, key: { pem: issued.key } }),
          }),
          server,
        });
        const [, failure] = await failuresOf(pair[0].handshake(), pair[1].handshake());
        expect((failure as Error | undefined)?.name).toBe(name);
        abort(...pair);
      }
    }));
});

describe('DANE', () => {
  const digestOf = async (secure: SecureReactor): Promise<string> => {
    const pair = await shakenPair(secure, {
      client: await secure.client({ dangerouslyVerifyNobody: true }),
      server: await secure.server({ certificate: { pem: good.certificate }, key: { pem: good.key } }),
    });
    const digest = pair[0].peerCertificate()?.digest('sha256') ?? '';
    abort(...pair);
    return digest;
  };

  it('accepts a certificate from an unknown authority, and reports the record that matched', () =>
    withSecureReactor(async (secure) => {
      const server = await secure.server({ certificate: { pem: good.certificate }, key: { pem: good.key } });
      const data = Buffer.from(await digestOf(secure), 'hex');
      const record = { usage: 3, selector: 0, matchingType: 1, data } as const;
      const context = await secure.client({ ca: { pem: new Authority().pem } });
      const pair = await shakenPair(secure, { client: context.with({ tlsa: [record] }), server });
      expect(pair[0].verification()).toMatchObject({
        ok: true,
        tlsa: { usage: 3, selector: 0, matchingType: 1, depth: 0 },
      });
      await talk(...pair);
      abort(...pair);
      const refused = await securePair(secure, {
        client: context.with({ tlsa: [{ ...record, data: Buffer.alloc(32) }] }),
        server,
      });
      const [failure] = await failuresOf(refused[0].handshake(), refused[1].handshake());
      expect(failure).toMatchObject({ reason: 'DANE_NO_MATCH' });
      abort(...refused);
    }));

  it('rejects records of which none is usable', () =>
    withSecureReactor(async (secure) => {
      const context = await secure.client({ ca });
      for (const tlsa of [[], [{ usage: 9, selector: 9, matchingType: 9, data: Buffer.alloc(1) } as never]]) {
        await expect(securePair(secure, { client: context.with({ tlsa }) })).rejects.toMatchObject({
          name: 'TlsError',
          message: expect.stringContaining('no usable TLSA record') as unknown,
        });
      }
      for (const connection of secure.reactor.connections) connection.abort();
    }));
});

// A chain that cannot be built has more than one fault.
const FAULTS_ALONG: Partial<Record<VerifyErrorName, readonly VerifyErrorName[]>> = {
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  CERT_CHAIN_TOO_LONG: ['CERT_CHAIN_TOO_LONG', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'UNABLE_TO_GET_ISSUER_CERT'],
};
