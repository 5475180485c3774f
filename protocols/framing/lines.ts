/** Lines of text. */

import { isUtf8 } from 'node:buffer';

import { BoundsError, FramingError } from '../../core/errors.ts';
import { Framing } from '../../core/framing.ts';
import type { FramingInput } from '../../core/framing.ts';
import { checkOptions, thing } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { MORE } from '../../core/pattern.ts';
import { kindOf, wellFormed } from './message-bytes.ts';

/** How lines are sent. */
export interface LinesOptions {
  /** What ends a line that is sent: `'\n'` by default. A received line may end with either. */
  readonly ending?: '\n' | '\r\n' | undefined;
}

/** The rules for these options. */
export const LINES_RULES = {
  ending: thing(String.raw`'\n' or '\r\n'`, (value) => value === '\n' || value === '\r\n'),
} satisfies Rules<LinesOptions>;

class Lines extends Framing<string> {
  override readonly defaultMaxBytes = 64 * 1024;
  override readonly decodesFromView = true;
  readonly #ending: string;

  constructor(ending: string) {
    super();
    this.#ending = ending;
  }

  measure(input: FramingInput, maxBytes: number): number {
    const found = input.indexOf(LF);
    const end = found < 0 ? input.length : found;
    const length = end > 0 && input.at(end - 1) === CR ? end - 1 : end;
    if (length > maxBytes) throw new BoundsError('the line', 'maxBytes', maxBytes);
    return found < 0 ? MORE : found + 1;
  }

  decode(frame: Uint8Array): string {
    const end = frame.at(-2) === CR ? frame.length - 2 : frame.length - 1;
    const line = Buffer.from(frame.buffer, frame.byteOffset, end);
    const text = line.toString('utf8');
    // Invalid bytes become this character, but a line may also contain it.
    if (text.includes('\ufffd') && !isUtf8(line))
      throw new FramingError('the line is not valid UTF-8', firstInvalid(line));
    return text;
  }

  encode(line: string): string {
    if (typeof line !== 'string') throw new FramingError(`a line is a string, not ${kindOf(line)}`);
    if (line.includes('\n')) throw new FramingError('the line cannot be sent: it contains a line feed');
    if (this.#ending === '\n' && line.endsWith('\r'))
      throw new FramingError('the line cannot be sent: the receiver would drop the carriage return at its end');
    return wellFormed(line) + this.#ending;
  }
}

/**
 * Lines of text in UTF-8, each without its line feed and without a carriage return before that. Bytes that are not
 * UTF-8 are refused, so that two different lines never become the same text. To receive them, use `delimited('\n')`.
 * A line has at most 64 KiB by default.
 * @returns a framing of strings. It refuses to send a string that would not arrive as the same single line.
 * @throws {TypeError | RangeError} when an option is not valid.
 */
export function lines(options: LinesOptions = {}): Framing<string> {
  checkOptions('lines', options, LINES_RULES);
  return new Lines(options.ending ?? '\n');
}

/** @returns the index of the first byte that is not valid UTF-8. */
function firstInvalid(line: Buffer): number {
  const replaced = Buffer.from(line.toString('utf8'));
  for (let at = 0; ; at++) if (line[at] !== replaced[at]) return at;
}

const LF = 10;
const CR = 13;
