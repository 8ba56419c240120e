// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"time"
)

// ReadOptions say how to decode. The zero value serves.
type ReadOptions struct {
	// Threads of the decoder; 0 lets ffmpeg choose.
	Threads int
	// Salvage goes on where something does not decode, and ends with io.EOF; Reader.Damage tells what was wrong.
	// Otherwise damage ends the video with ErrDamaged.
	Salvage bool
	// Stall is how long Next waits for a frame before it gives up with ErrStalled. Default 5 min.
	Stall time.Duration

	_ struct{}
}

// Reader decodes one video. Next and Close may run at the same time; Next itself is for one goroutine.
type Reader struct{}

// Open starts the decoder for a video that Probe described. It fails with ErrVanished if another file stands there now.
// The reader ends when ctx does.
func (t Tools) Open(ctx context.Context, info Info, opts ReadOptions) (*Reader, error) {
	return nil, fileError(info.Path, ErrUnsupported, "not built yet")
}

// Next returns the next frame in presentation order; the caller owns it until it calls Release. The frame's memory
// comes from a pool that grows to as many frames as are held at once. Next fails with io.EOF after a whole video, and
// otherwise with ErrDamaged, ErrLimit, ErrStalled, ErrTool or the context's error; the same again when called again.
func (r *Reader) Next() (*Frame, error) { return nil, ErrUnsupported }

// Damage tells what did not decode so far, as ErrDamaged, or nil. It is of use with ReadOptions.Salvage.
func (r *Reader) Damage() error { return nil }

// Close ends the decoder and waits for it, promptly. Frames already handed out stay valid. It may be called twice.
func (r *Reader) Close() error { return nil }
