/** Answers that may come at once or later. */

/** Whether `value` is still to come. Any promise counts, not only those of the language. */
export function isThenable<T>(value: T | PromiseLike<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/** Goes on with `value` at once when it is there, else when it comes. */
export function andThen<T, R>(value: T | Promise<T>, next: (value: T) => R | Promise<R>): R | Promise<R> {
  return isThenable(value) ? value.then(next) : next(value);
}
