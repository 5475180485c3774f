/** The rule for an argument that is a reactor. */

import { partWith } from '../core/options.ts';

export const reactorRule = partWith('a Reactor', 'connect', 'listen', 'select');
