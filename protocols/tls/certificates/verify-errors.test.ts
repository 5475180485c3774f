import { describe, expect, it } from 'vitest';

import { openssl } from '../openssl.ts';
import { VERIFY_ERRORS, verifyErrorName, verifyErrorNumber } from './verify-errors.ts';
import type { VerifyErrorName } from './verify-errors.ts';

describe('verification results', () => {
  it('map from names to numbers and back', () => {
    for (const [name, number] of Object.entries(VERIFY_ERRORS)) {
      expect(verifyErrorName(number)).toBe(name);
      expect(verifyErrorNumber(name as VerifyErrorName)).toBe(number);
    }
    expect(verifyErrorName(0)).toBe('OK');
    expect(verifyErrorNumber('OK')).toBe(0);
  });

  it('are the numbers that OpenSSL can explain, without a gap', () => {
    const numbers = Object.values(VERIFY_ERRORS);
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, index) => index + 1));
    // 95 (RPK_UNTRUSTED) is newer than OpenSSL 3.0.
    for (const number of numbers.filter((each) => each < VERIFY_ERRORS.RPK_UNTRUSTED)) {
      expect(openssl().X509_verify_cert_error_string(number), verifyErrorName(number)).not.toMatch(/^unknown/);
    }
  });

  it('have the meaning that OpenSSL gives them', () => {
    const said = (name: VerifyErrorName): string => openssl().X509_verify_cert_error_string(verifyErrorNumber(name));
    expect(said('CERT_HAS_EXPIRED')).toBe('certificate has expired');
    expect(said('CERT_NOT_YET_VALID')).toBe('certificate is not yet valid');
    expect(said('DEPTH_ZERO_SELF_SIGNED_CERT')).toBe('self-signed certificate');
    expect(said('CERT_REVOKED')).toBe('certificate revoked');
    expect(said('HOSTNAME_MISMATCH')).toBe('hostname mismatch');
    expect(said('EE_KEY_TOO_SMALL')).toBe('EE certificate key too weak');
    expect(said('EC_KEY_EXPLICIT_PARAMS')).toMatch(/explicit/);
  });

  it('without a name are undefined', () => {
    for (const number of [-1, 10_000, 1.5, Number.NaN]) expect(verifyErrorName(number)).toBeUndefined();
  });
});
