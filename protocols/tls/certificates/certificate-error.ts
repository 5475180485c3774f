/** The kinds of failure that concern whose certificate it is. */

import { CertificateError } from '../tls-error.ts';
import type { CertificateErrorDetails } from '../tls-error.ts';

/** The peer showed no certificate where one was expected. */
export class NoCertificateError extends CertificateError {
  constructor(message: string, details: CertificateErrorDetails = {}) {
    super(message, details, 'ERR_WANTIO_NO_CERTIFICATE');
  }

  static {
    this.prototype.name = 'NoCertificateError';
  }
}

/** The certificate or its key is another one than the pinned one. `field` is `'digest'` or `'publicKeyDigest'`. */
export class WrongCertificateError extends CertificateError {
  constructor(message: string, details: CertificateErrorDetails) {
    super(message, details, 'ERR_WANTIO_WRONG_CERTIFICATE');
  }

  static {
    this.prototype.name = 'WrongCertificateError';
  }
}

/**
 * The certificate is that of another host. `field` is `'subjectAltName'` or `'commonName'`, and `actual` what it holds.
 */
export class WrongHostError extends CertificateError {
  constructor(message: string, details: CertificateErrorDetails) {
    super(message, details, 'ERR_WANTIO_WRONG_HOST');
  }

  static {
    this.prototype.name = 'WrongHostError';
  }
}
