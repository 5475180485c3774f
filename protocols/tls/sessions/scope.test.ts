import { describe, expect, it } from 'vitest';

import type { LoadedFiles } from '../context/loaded-files.ts';
import type { AnyOptions } from '../context/options.ts';
import { Authority } from '../../testing/tls/authority.ts';
import { scopeFor } from './name-scope.ts';
import { SCOPE, scopeOf } from './scope.ts';
import { bytes } from '../../testing/stores/check-store.ts';

const [one, other] = [new Authority(), new Authority()];
const files: LoadedFiles = { identities: [], trust: undefined, dhParameters: undefined };
const pem = (text: string): Uint8Array => Buffer.from(text);
const trusting = (certificates: readonly string[], revocations: readonly string[] = []): LoadedFiles => ({
  ...files,
  trust: {
    certificates: certificates.map(pem),
    revocations: revocations.map(pem),
    isBundled: false,
    named: [],
    skipped: [],
  },
});
const showing = (...shown: readonly string[]): LoadedFiles => ({
  ...files,
  identities: shown.map((certificate) => ({ certificate: pem(certificate) }) as LoadedFiles['identities'][number]),
});

type Role = 'client' | 'server';
type Case = readonly [AnyOptions, LoadedFiles?];

const scope = (role: Role, [options, loaded = files]: Case): string =>
  Buffer.from(scopeOf(role, options, loaded)).toString('hex');
const key = bytes(32, 1);
const [first, second] = [(): undefined => undefined, (): undefined => undefined];

/** For each option that affects trust, and each role that has it: cases that must all have different scopes. */
const APART: { readonly [K in keyof AnyOptions]?: Partial<Record<Role, readonly Case[]>> } = {
  ca: {
    client: [
      [{}],
      [{}, trusting([])],
      [{}, trusting([one.pem])],
      [{}, trusting([other.pem])],
      [{}, trusting([one.pem, other.pem])],
    ],
  },
  crls: {
    server: [
      [{}, trusting([one.pem])],
      [{}, trusting([one.pem], [one.crl()])],
      [{}, trusting([one.pem], [one.crl([7n])])],
    ],
  },
  crlCheck: { client: [[{}], [{ crlCheck: 'leaf' }], [{ crlCheck: 'chain' }], [{}, trusting([], [one.crl()])]] },
  verify: { server: [[{}], [{ verify: 'peer' }], [{ verify: ['peer', 'fail_if_no_peer_cert'] }]] },
  dangerouslyVerifyNobody: { client: [[{}], [{ dangerouslyVerifyNobody: true }]] },
  dangerouslySkipNameCheck: { client: [[{}], [{ dangerouslySkipNameCheck: true }]] },
  dangerouslyUseOldNameRules: { client: [[{}], [{ dangerouslyUseOldNameRules: true }]] },
  dangerouslyIgnorePurpose: { server: [[{}], [{ dangerouslyIgnorePurpose: true }]] },
  dangerouslyAccept: {
    client: [
      [{}],
      [{ dangerouslyAccept: ['CERT_HAS_EXPIRED'] }],
      [{ dangerouslyAccept: ['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED'] }],
      [{ dangerouslyAccept: 'all' }],
    ],
  },
  depth: { server: [[{}], [{ depth: 1 }], [{ depth: 2 }]] },
  expect: {
    client: [
      [{}],
      [{ expect: { name: 'a.test' } }],
      [{ expect: { name: 'b.test' } }],
      [{ expect: { digest: 'ab'.repeat(32) } }],
    ],
  },
  psk: {
    client: [
      [{}],
      [{ psk: { identity: 'a', key } }],
      [{ psk: { identity: 'b', key } }],
      [{ psk: { identity: 'a', key: bytes(32, 2) } }],
    ],
    server: [[{}], [{ psk: first }], [{ psk: second }]],
  },
  certificate: {
    client: [
      [{}],
      [{}, showing(one.issue({ names: ['a.test'] }).certificate)],
      [{}, showing(one.issue({ names: ['a.test'] }).certificate)],
    ],
    server: [
      [{}, showing(one.issue({ names: ['a.test'] }).certificate)],
      [{}, showing(one.issue({ names: ['b.test'] }).certificate)],
      [{}, showing(one.issue({ names: ['ab.test'] }).certificate)],
      [{}, showing(one.issue({ names: ['ba.test'] }).certificate)],
      [{}, showing(one.issue({ commonName: 'c', subjectAltName: false }).certificate)],
    ],
  },
  sessionScope: { server: [[{ sessionScope: 'a' }], [{ sessionScope: 'b' }]] },
  serverNames: {
    server: [
      [{}],
      [{ serverNames: { 'a.test': {} as never } }],
      [{ serverNames: { 'b.test': {} as never } }],
      [{ serverNames: { 'a.test': {} as never, 'b.test': {} as never } }],
    ],
  },
  strictServerNames: { server: [[{}], [{ strictServerNames: true }]] },
  alpn: {
    server: [[{}], [{ alpn: ['a'] }], [{ alpn: ['b'] }], [{ alpn: ['a', 'b'] }], [{ alpn: first }], [{ alpn: second }]],
  },
  dangerouslyIgnoreAlpnMismatch: { server: [[{}], [{ dangerouslyIgnoreAlpnMismatch: true }]] },
  protocols: {
    client: [
      [{}],
      [{ protocols: { min: 'TLSv1.3' } }],
      [{ protocols: { max: 'TLSv1.3' } }],
      [{ protocols: { max: 'TLSv1.2' } }],
    ],
  },
  minimumSecurityLevel: { client: [[{}], [{ minimumSecurityLevel: 3 }]] },
  dangerouslyLowerSecurityLevel: {
    client: [[{}], [{ dangerouslyLowerSecurityLevel: 0 }], [{ dangerouslyLowerSecurityLevel: 1 }]],
  },
  options: { client: [[{}], [{ options: ['no_ticket'] }], [{ options: ['no_ticket', 'tlsext_padding'] }]] },
  dangerouslyEnable: {
    client: [
      [{}],
      [{ dangerouslyEnable: ['legacy_server_connect'] }],
      [{ dangerouslyEnable: ['allow_unsafe_legacy_renegotiation'] }],
    ],
  },
  ciphers: { client: [[{}], [{ ciphers: 'a' }], [{ ciphers: 'b' }]] },
  ciphersuites: { client: [[{}], [{ ciphersuites: 'a' }], [{ ciphersuites: 'b' }]] },
  groups: { client: [[{}], [{ groups: 'a' }], [{ groups: 'b' }]] },
  signatureAlgorithms: { client: [[{}], [{ signatureAlgorithms: 'a' }], [{ signatureAlgorithms: 'b' }]] },
  dhParameters: {
    server: [
      [{}],
      [{}, { ...files, dhParameters: pem('-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n') }],
      [{}, { ...files, dhParameters: pem('-----BEGIN DH PARAMETERS-----\nBBBB\n-----END DH PARAMETERS-----\n') }],
    ],
  },
};

describe('the scope of sessions', () => {
  it.each(Object.keys(SCOPE) as (keyof AnyOptions)[])('agrees with this test whether %s affects trust', (option) => {
    expect(option in APART).toBe(SCOPE[option] !== 'no trust');
  });

  it.each(
    Object.entries(APART).flatMap(([option, roles]) =>
      Object.entries(roles).map(([role, cases]) => [option, role as Role, cases] as const),
    ),
  )('differs for each %s of a %s', (_, role, cases) => {
    const scopes = cases.map((each) => scope(role, each));
    expect(new Set(scopes).size).toBe(cases.length);
    expect(cases.map((each) => scope(role, each))).toEqual(scopes);
  });

  it('has 32 bytes, and differs between the roles', () => {
    expect(scopeOf('client', {}, files).length).toBe(32);
    expect(scope('client', [{ dangerouslyVerifyNobody: true }])).not.toBe(
      scope('server', [{ dangerouslyVerifyNobody: true }]),
    );
  });

  it.each<[string, Role, Case, Case]>([
    [
      'the order of authorities, and the text between them',
      'client',
      [{}, trusting([one.pem, other.pem])],
      [{}, trusting([`and\n${other.pem}\n# one\n${one.pem.replaceAll('\n', '\r\n')}`])],
    ],
    ['an authority that is given twice', 'client', [{}, trusting([one.pem])], [{}, trusting([one.pem, one.pem])]],
    [
      'the order of the verify flags',
      'server',
      [{ verify: ['peer', 'fail_if_no_peer_cert'] }],
      [{ verify: ['fail_if_no_peer_cert', 'peer'] }],
    ],
    [
      'the order of accepted faults',
      'client',
      [{ dangerouslyAccept: ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'] }],
      [{ dangerouslyAccept: ['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED'] }],
    ],
    [
      'the order of options',
      'client',
      [{ options: ['no_ticket', 'tlsext_padding'] }],
      [{ options: ['tlsext_padding', 'no_ticket'] }],
    ],
    [
      'the order of dangerouslyEnable',
      'client',
      [{ dangerouslyEnable: ['b', 'a'] as never }],
      [{ dangerouslyEnable: ['a', 'b'] as never }],
    ],
    [
      'the order and the spelling of serverNames',
      'server',
      [{ serverNames: { 'a.test': {} as never, 'b.test': {} as never } }],
      [{ serverNames: { 'B.test': {} as never, 'a.TEST': {} as never } }],
    ],
    [
      "a server's new certificate for the same names",
      'server',
      [{}, showing(one.issue({ names: ['a.test', 'b.test'] }).certificate)],
      [{}, showing(other.issue({ names: ['b.test', 'a.test'] }).certificate)],
    ],
    [
      "the order of a server's certificates",
      'server',
      [{}, showing(...['a.test', 'b.test'].map((name) => one.issue({ names: [name] }).certificate))],
      [{}, showing(...['b.test', 'a.test'].map((name) => one.issue({ names: [name] }).certificate))],
    ],
    [
      'the certificate of a server with a sessionScope',
      'server',
      [{ sessionScope: 'a' }, showing(one.issue({ names: ['a.test'] }).certificate)],
      [{ sessionScope: 'a' }, showing(one.issue({ names: ['b.test'] }).certificate)],
    ],
    [
      'functions of a server with a sessionScope',
      'server',
      [{ sessionScope: 'a', psk: first, alpn: first }],
      [{ sessionScope: 'a', psk: second, alpn: second }],
    ],
    ['the sessionScope of a client', 'client', [{ sessionScope: 'a' }], [{}]],
    ['the verify flags of a client', 'client', [{ verify: 'peer' }], [{}]],
    [
      'explicit defaults',
      'server',
      [
        {
          verify: 'none',
          strictServerNames: false,
          dangerouslyIgnorePurpose: false,
          dangerouslyAccept: [],
          options: [],
          serverNames: {},
        },
      ],
      [{}],
    ],
  ])('does not depend on %s', (_, role, one, other) => {
    expect(scope(role, one)).toBe(scope(role, other));
  });

  it('does not depend on options that do not affect trust', () => {
    const plain = scope('server', [{}]);
    for (const option of Object.keys(SCOPE) as (keyof AnyOptions)[])
      if (SCOPE[option] === 'no trust') expect(scope('server', [{ [option]: 'anything' }])).toBe(plain);
  });
});

describe('the scope of a connection', () => {
  const of = (scopeBytes: Uint8Array, name: string | undefined, context: Uint8Array): string =>
    Buffer.from(scopeFor(scopeBytes, name, context)).toString('hex');

  it('differs for each scope, name and id context, and for no name', () => {
    const all = [bytes(32, 1), bytes(32, 2)].flatMap((each) =>
      [undefined, 'a.test', 'b.test', 'none', ''].flatMap((name) =>
        [new Uint8Array(0), bytes(4, 1)].map((context) => of(each, name, context)),
      ),
    );
    expect(new Set(all).size).toBe(all.length);
    expect(scopeFor(bytes(32, 1), undefined, new Uint8Array(0)).length).toBe(32);
  });

  it('ignores the case of the name', () => {
    expect(of(bytes(32, 1), 'A.test', bytes(4, 1))).toBe(of(bytes(32, 1), 'a.TEST', bytes(4, 1)));
  });
});
