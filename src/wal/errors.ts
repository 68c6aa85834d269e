/**
 * What a log throws. Each class has a `code`; each message names the file and offset where there is
 * one, and what to do next.
 *
 * @module
 */

/**
 * Bytes of the log are not what was written, or are not for this program to read. No record and no file of
 * the log was changed.
 */
export class WalCorruptionError extends Error {
  override readonly name: string = "WalCorruptionError";
  readonly code: string = "WalCorruption";
  constructor(
    /** Path of the damaged file. */
    readonly file: string,
    /** Byte offset of the damage in it. */
    readonly offset: number,
    /** What is wrong there. */
    readonly reason: string,
    /** What to do. */
    wayOut = "Restore the file from a copy, or see what `uring repair` can keep",
    options?: ErrorOptions,
  ) {
    super(
      `${file}, at byte ${offset}: ${reason}. No record was changed. ${wayOut}`,
      options,
    );
  }
}

/** A format that this program does not know: nothing of it is read. */
export function newerVersion(file: string, version: number, offset = 0): WalCorruptionError {
  return new WalCorruptionError(
    file,
    offset,
    `format version ${version} is newer than this program's`,
    "Use a newer @uring/io",
  );
}

/** A write or sync failed: what is on the disk is unknown. Only opening the log again leads on. */
export class WalPoisonedError extends Error {
  override readonly name: string = "WalPoisonedError";
  readonly code: string = "WalPoisoned";
}

/** The record was removed by `truncateBefore`, or by retention. */
export class LsnTooOldError extends Error {
  override readonly name: string = "LsnTooOldError";
  readonly code: string = "LsnTooOld";
  constructor(readonly lsn: number, readonly firstLsn: number) {
    super(`record ${lsn} was removed; the oldest one is ${firstLsn}`);
  }
}

/** Another process, worker or `Wal` writes to this log. */
export class WalLockedError extends Error {
  override readonly name: string = "WalLockedError";
  readonly code: string = "WalLocked";
  constructor(
    readonly directory: string,
    /** What the lock file says of its holder; for the message only. */
    readonly holder: string,
  ) {
    super(
      `${directory} is locked by ${holder}. Close that log, or wait: after a kill the lock is free ` +
        `when the last write in flight has ended`,
    );
  }
}

/** No room now: every frame is in flight, or no segment can be made (then `cause` has the errno). */
export class WalFullError extends Error {
  override readonly name: string = "WalFullError";
  readonly code: string = "WalFull";
}

/** The record does not fit into one frame. */
export class WalRecordTooLargeError extends Error {
  override readonly name: string = "WalRecordTooLargeError";
  readonly code: string = "WalRecordTooLarge";
  constructor(readonly bytes: number, readonly maxRecordBytes: number, what?: string) {
    super(
      `${what ?? `a record of ${bytes} bytes does not fit`}: the limit is ${maxRecordBytes} ` +
        `(raise maxRecordBytes or commit.maxBytes, or append less at once)`,
    );
  }
}

/** The log was closed. */
export class WalClosedError extends Error {
  override readonly name: string = "WalClosedError";
  readonly code: string = "WalClosed";
}

/** An option makes no sense, or not on this machine. No log was begun, and none was changed. */
export class WalOptionsError extends Error {
  override readonly name: string = "WalOptionsError";
  readonly code: string = "WalOptions";
}

/** There is no log in the directory. */
export class WalMissingError extends Error {
  override readonly name: string = "WalMissingError";
  readonly code: string = "WalMissing";
  constructor(readonly directory: string, detail: string) {
    super(`no log here: ${directory} ${detail}`);
  }
}
