import { describe, expect, it } from 'vitest';

import { WrongHostError } from './certificates/certificate-error.ts';
import { Authority } from '../testing/tls/authority.ts';
import type { Issued } from '../testing/tls/authority.ts';
import { abort, failuresOf, securePair } from '../testing/tls/pair.ts';
import { withSecureReactor } from '../testing/tls/secure-reactor.ts';
import { CertificateError } from './tls-error.ts';

const authority = new Authority();

/** @returns the error with which a client rejects a server with this certificate. */
async function refusalOf({ chain, key }: Issued, serverName = 'localhost'): Promise<CertificateError> {
  let refusal: unknown;
  await withSecureReactor(async (secure) => {
    const server = await secure.server({ certificate: { pem: chain }, key: { pem: key } });
    const client = await secure.client({ ca: { pem: authority.certificate } });
    const [near, far] = await securePair(secure, { client, server, serverName });
    [refusal] = await failuresOf(near.handshake(), far.handshake());
    abort(near, far);
  });
  expect(refusal).toBeInstanceOf(CertificateError);
  return refusal as CertificateError;
}

describe('the error for a rejected certificate', () => {
  it('contains the expected host and the hosts of the certificate', async () => {
    const error = await refusalOf(authority.issue({ names: ['example.org', '192.0.2.1'] }));
    expect(error).toBeInstanceOf(WrongHostError);
    expect(error).toMatchObject({
      name: 'WrongHostError',
      code: 'ERR_WANTIO_WRONG_HOST',
      reason: 'HOSTNAME_MISMATCH',
      result: 62,
      expected: 'localhost',
      actual: 'DNS:example.org, IP:192.0.2.1',
      field: 'subjectAltName',
      message: "the server's certificate is not for localhost but for DNS:example.org, IP:192.0.2.1: hostname mismatch",
    });
  });

  it('contains the expected address and the addresses of the certificate', async () => {
    expect(await refusalOf(authority.issue({ names: ['127.0.0.1'] }), '127.0.0.2')).toMatchObject({
      code: 'ERR_WANTIO_WRONG_HOST',
      reason: 'IP_ADDRESS_MISMATCH',
      expected: '127.0.0.2',
      actual: 'IP:127.0.0.1',
    });
  });

  it('contains no hosts when only the commonName names one', async () => {
    expect(await refusalOf(authority.issue({ names: ['localhost'], subjectAltName: false }))).toMatchObject({
      code: 'ERR_WANTIO_WRONG_HOST',
      actual: '',
      message: "the server's certificate is not for localhost but for no host: hostname mismatch",
    });
  });

  it('contains the reason by its name', async () => {
    const reasons = [];
    for (const issued of [
      authority.issue({ expired: true }),
      authority.issue({ notYetValid: true }),
      authority.issue({ purpose: 'client' }),
      authority.intermediate({ ca: false }).issue(),
      new Authority().issue(),
    ]) {
      const error = await refusalOf(issued);
      expect(error).not.toBeInstanceOf(WrongHostError);
      expect(error).toMatchObject({
        code: 'ERR_WANTIO_CERTIFICATE',
        expected: undefined,
        actual: undefined,
        field: undefined,
      });
      reasons.push(error.reason);
    }
    expect(reasons).toEqual([
      'CERT_HAS_EXPIRED',
      'CERT_NOT_YET_VALID',
      'INVALID_PURPOSE',
      'INVALID_CA',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    ]);
  });
});
