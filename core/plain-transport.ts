/** What all transports have in common that agree on nothing with the peer and hold no bytes back. */

import { DONE } from './want.ts';
import type { StepCode } from './want.ts';

/** The base of the lowest transports: sockets and streams. */
export abstract class PlainTransport {
  readonly hasUnflushed = false;
  /** How many bytes have come in. */
  received = 0;
  /** What ended the channel for both directions. */
  failure: Error | undefined;

  handshake(): StepCode {
    return DONE;
  }

  flush(): StepCode {
    return DONE;
  }

  onLookupAnswered(): void {
    // There is no look-up without a handshake.
  }
}
