// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"time"
)

// WriteOptions say how to encode. The zero value writes H.264 in the container that the source has.
type WriteOptions struct {
	// Container is "mp4", "mov", "mkv", "webm", "avi" or "ts"; "" takes the one for the source's name (ContainerFor).
	Container string
	// Codec is "h264" (default), "h265", "vp9", "av1", "ffv1", or "same" for the source's own. WebM holds no H.264: there
	// "h264" means vp9. What the container cannot hold otherwise is ErrUnsupported.
	Codec string
	// Quality is the constant rate factor: 0 (best; a codec's scale goes to 51 or 63). Default, for nil, 20 for h264.
	Quality *int
	// Preset is the encoder's, for h264 and h265 ultrafast to placebo. Default veryfast.
	Preset string
	// Threads of the encoder; 0 lets ffmpeg choose.
	Threads int
	// Stall is how long Write waits for the encoder to take a frame before it gives up with ErrStalled. Default 5 min.
	Stall time.Duration

	_ struct{}
}

// ContainerFor returns the container that an output should have for a source of this name, as WriteOptions.Container
// names it and without a dot, so that it serves as the file's extension too: that of the name's extension where such
// files can be written, else mp4.
func ContainerFor(path string) string { return "mp4" }

// Writer encodes one video. Its methods are for one goroutine, but for Abort, which may run at any time.
type Writer struct{}

// Create starts the encoder, writing to tempPath, which must not exist: a hidden name in the folder where the video
// will stand. Size, format, colour and time base are info's. Nothing else of the source gets into the output: no sound,
// subtitles, data, chapters, cover, metadata or encoder settings. The writer ends when ctx does.
func (t Tools) Create(ctx context.Context, tempPath string, info Info, opts WriteOptions) (*Writer, error) {
	return nil, fileError(tempPath, ErrUnsupported, "not built yet")
}

// Write hands a frame to the encoder. It does not keep the frame. PTS must grow from frame to frame. It fails with
// ErrNoSpace, ErrStalled, ErrTool, ErrUnsupported (another size or format than Create was told) or the context's error.
func (w *Writer) Write(frame *Frame) error { return ErrUnsupported }

// Finish ends the encoder, makes sure that the file holds each frame written at its time, brings it to the disk, and
// gives it its final name if that is free (ErrExists otherwise). If it fails nothing stands under the final name, and
// the temporary file is removed.
func (w *Writer) Finish(ctx context.Context, finalPath string) error { return ErrUnsupported }

// Abort ends the encoder, waits for it and removes the temporary file. It may be called twice, and after Finish, where
// it does nothing.
func (w *Writer) Abort() error { return nil }
