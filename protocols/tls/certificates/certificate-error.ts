/** Errors of the check whether the peer's certificate is the expected one. */

import { CertificateError } from '../tls-error.ts';
import type { CertificateErrorDetails } from '../tls-error.ts';

/** The peer showed no certificate, although one was expected. */
export class NoCertificateError extends CertificateError {
  constructor(message: string, details: CertificateErrorDetails = {}) {
    super(message, details, 'ERR_WANTIO_NO_CERTIFICATE');
  }

  static {
    this.prototype.name = 'NoCertificateError';
  }
}

/** The certificate or its key is not the pinned one. `field` is `'digest'` or `'publicKeyDigest'`. */
export class WrongCertificateError extends CertificateError {
  constructor(message: string, details: CertificateErrorDetails) {
    super(message, details, 'ERR_WANTIO_WRONG_CERTIFICATE');
  }

  static {
    this.prototype.name = 'WrongCertificateError';
  }
}

/**
 * The certificate is for another host. `field` is `'subjectAltName'` or `'commonName'`, and `actual` is its content.
 */
export class WrongHostError extends CertificateError {
  constructor(message: string, details: CertificateErrorDetails) {
    super(message, details, 'ERR_WANTIO_WRONG_HOST');
  }

  static {
    this.prototype.name = 'WrongHostError';
  }
}
