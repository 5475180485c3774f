/** Messages that all have the same length. */

import { BoundsError, FramingError } from '../../core/errors.ts';
import { Framing } from '../../core/framing.ts';
import type { FramingInput } from '../../core/framing.ts';
import { checkArgument, count } from '../../core/options.ts';
import { MORE } from '../../core/pattern.ts';
import { LONGEST } from './message-length.ts';

const sizeRule = count(1, LONGEST);

class FixedRecords extends Framing<Uint8Array> {
  override readonly defaultMaxBytes: number;

  constructor(size: number) {
    super();
    this.defaultMaxBytes = size;
  }

  measure(input: FramingInput, maxBytes: number): number {
    const size = this.defaultMaxBytes;
    if (size > maxBytes) throw new BoundsError('the record', 'maxBytes', maxBytes);
    return input.length < size ? MORE : size;
  }

  decode(frame: Uint8Array): Uint8Array {
    return frame;
  }

  encode(record: Uint8Array): Uint8Array {
    if (record.length !== this.defaultMaxBytes)
      throw new FramingError(
        `the record cannot be sent: it has ${String(record.length)} bytes instead of ${String(this.defaultMaxBytes)}`,
      );
    return record;
  }
}

/**
 * Records that all have `size` bytes.
 * @param size a number of bytes from 1 to 2,147,483,647.
 * @returns a framing of the records.
 * @throws {TypeError | RangeError} when the size is not valid.
 */
export function fixedRecords(size: number): Framing<Uint8Array> {
  checkArgument('fixedRecords', 'the size', size, sizeRule);
  return new FixedRecords(size);
}
