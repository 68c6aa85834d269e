/**
 * The generated layouts as indexes of 32-bit words. Plain constants: compilers see through them.
 *
 * @module
 */

import { CONTROL, IMAGE } from "../abi/generated.ts";

/** Words of one image. */
export const IMAGE_WORDS: number = IMAGE.bytes / 4;
/** Operation in the lowest byte, sqe flags in the next. */
export const WORD_HEAD: number = IMAGE.operation / 4;
export const WORD_FILE: number = IMAGE.file / 4;
export const WORD_OFFSET: number = IMAGE.offset / 4;
export const WORD_OFFSET_HIGH: number = WORD_OFFSET + 1;
export const WORD_ADDR: number = IMAGE.addr / 4;
export const WORD_ADDR_HIGH: number = WORD_ADDR + 1;
export const WORD_LENGTH: number = IMAGE.length / 4;
export const WORD_OP_FLAGS: number = IMAGE.opFlags / 4;
export const WORD_SLOT: number = IMAGE.slot / 4;
export const WORD_GENERATION: number = IMAGE.generation / 4;
export const WORD_ADDR2: number = IMAGE.addr2 / 4;
export const WORD_LENGTH2: number = IMAGE.length2 / 4;
export const WORD_EXTRA: number = IMAGE.extra / 4;
/** The sqe flags in the head. */
export const FLAGS_SHIFT: number = 8 * (IMAGE.flags - IMAGE.operation);

export const CONTROL_CONSUMED: number = CONTROL.consumed / 4;
export const CONTROL_BAD_INDEX: number = CONTROL.badIndex / 4;
export const CONTROL_BAD_REASON: number = CONTROL.badReason / 4;
export const CONTROL_OVERFLOWS: number = CONTROL.overflows / 4;
export const CONTROL_IN_FLIGHT: number = CONTROL.inFlight / 4;
export const CONTROL_ENTERS: number = CONTROL.enters / 4;
export const CONTROL_STALE: number = CONTROL.stale / 4;
export const CONTROL_MORE: number = CONTROL.more / 4;
export const CONTROL_AGAIN: number = CONTROL.again / 4;
export const CONTROL_MESSAGE_ROOM: number = CONTROL.messageRoom / 4;
