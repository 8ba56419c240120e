// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// Writer encodes one video, in segments that Finish joins. Its methods must be called by one goroutine, except Abort,
// which may interrupt a Write.
type Writer struct {
	tools  Tools
	ctx    context.Context
	temp   string
	plan   Plan
	extras extras

	segments []Sealed
	ends     []int64  // number of frames up to the end of each segment
	adopted  []string // paths of the first segments, which other writers wrote
	base     *Info    // output that frames are copied from, nil if all are encoded
	parts    []part   // of a spliced video

	segmentStart int64 // number of the current segment's first frame
	frames       int64
	begun        bool       // origin and first are known
	origin       int64      // PTS that becomes zero
	first        int64      // PTS of the video's first frame
	times        timeLog    // PTS of all frames
	logged       int        // bytes of times that are in its file
	timesHash    hash.Hash  // hash of these bytes
	err          error      // error that ended Write
	keys         *keyFrames // nil unless key frames are compared

	mu    sync.Mutex
	child *child   // encoder of the current segment, nil before the first
	stdin *os.File // write end of its stdin, nil between segments
	over  bool     // finished or aborted: the temporary files are no longer ours
}

// Create starts writing a video to tempPath, a hidden name in the folder of the final video. Until Finish, its segments
// are next to it, under names with the same beginning. Size, colors and time base are the source's. Nothing else from
// the source gets into the output unless the plan says so: no audio, subtitles, data, chapters, cover, metadata or
// encoder settings.
//
// Without resume, tempPath must not exist. With it, the writer resumes after the segments that an earlier writer sealed
// at the same path with the same plan.
//
// The writer ends when ctx does. Create fails with ErrUnsupported, ErrExists, ErrUnwritable, ErrNoSpace, ErrTool or
// ErrResume.
func (t Tools) Create(ctx context.Context, tempPath string, plan Plan, resume *Progress) (*Writer, error) {
	return t.create(ctx, tempPath, plan, writerStart{resume: resume})
}

// writerStart is what a writer starts with.
type writerStart struct {
	resume *Progress // what an earlier writer sealed, or nil
	base   *Info     // output that frames are copied from, or nil
	begin  *int64    // PTS of the video's first frame, for a part; nil if the writer gets that frame
	parts  []Part    // parts to join, or nil
	times  []int64   // PTS of their frames
}

func (t Tools) create(ctx context.Context, tempPath string, plan Plan, from writerStart) (*Writer, error) {
	temp, err := filepath.Abs(tempPath)
	if err != nil {
		return nil, fileError(tempPath, ErrUnwritable, "%v", err)
	}
	if _, err := os.Lstat(temp); err == nil && from.resume == nil && from.parts == nil {
		return nil, fileError(temp, ErrExists, "left as it is")
	}
	w := &Writer{tools: t, ctx: ctx, temp: temp, plan: plan, timesHash: sha256.New(), base: from.base}
	if err := w.begin(from); err != nil {
		_ = w.Abort()
		return nil, err
	}
	return w, nil
}

func (w *Writer) begin(from writerStart) error {
	if from.begin != nil {
		w.beginAt(*from.begin)
	}
	if from.resume != nil {
		if err := w.resume(*from.resume); err != nil {
			return err
		}
	}
	if from.parts != nil {
		if err := w.adopt(from.parts, from.times); err != nil {
			return err
		}
	}
	if from.begin == nil { // a part has only frames
		if err := w.openExtras(); err != nil {
			return err
		}
	}
	// In these cases Write starts the next segment, since there may be no frame left to write.
	if from.resume != nil || from.parts != nil || w.base != nil {
		return nil
	}
	return w.startSegment()
}

// reserve creates a file, so that no other process takes its name.
func reserve(path string) (*os.File, error) {
	f, err := durable.Create(path)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, fileError(path, ErrExists, "left as it is")
	case errors.Is(err, fs.ErrNotExist):
		return nil, fileError(path, ErrUnwritable, "its folder does not exist")
	case err != nil:
		return nil, fileError(path, diskCause(err), "%v", rootCause(err))
	}
	return f, nil
}

// Write sends a frame to the encoder. It does not keep the frame. PTS must increase from frame to frame. Write fails
// with ErrNoSpace, ErrUnwritable, ErrStalled, ErrTool, ErrUnsupported (a size or format other than the plan's, or a
// time that the container cannot hold) or the context's error; further calls return the same error.
func (w *Writer) Write(frame *Frame) error {
	if w.err == nil {
		w.err = w.write(frame)
	}
	return w.err
}

func (w *Writer) write(frame *Frame) error {
	if info := w.plan.info; frame.Width != info.Width || frame.Height != info.Height || frame.Format != info.Format {
		return fileError(w.temp, ErrUnsupported, "a frame of %d x %d %s in a video of %d x %d %s",
			frame.Width, frame.Height, frame.Format.Name, info.Width, info.Height, info.Format.Name)
	}
	w.beginAt(frame.PTS)
	pts := w.planned(frame.PTS)
	if w.frames > 0 && pts <= w.planned(w.times.last) {
		return fileError(w.temp, ErrUnsupported, "the time of frame %d is not after that of the previous one", frame.Index)
	}
	if w.stdin == nil {
		if err := w.startSegment(); err != nil {
			return err
		}
	}
	unit := w.plan.segmentTimeBase()
	at := rescale(pts, w.plan.timeBase, unit) + lead*unit.Den
	if err := w.sendFrame(frame, at); err != nil {
		return err
	}
	w.keys.add(frame, at)
	w.times.add(frame.PTS)
	w.frames++
	return nil
}

// beginAt records the time of the first frame, unless it is known.
func (w *Writer) beginAt(pts int64) {
	if w.begun {
		return
	}
	w.begun, w.first = true, pts
	if w.plan.container.fromZero || pts < 0 || w.plan.info.wallClock() {
		w.origin = pts // players hide what lies before zero, and no container counts from 1970
	}
}

// planned is the time at which a frame is shown in the output, in units of the plan's time base.
func (w *Writer) planned(pts int64) int64 {
	return rescale(pts-w.origin, w.plan.info.TimeBase, w.plan.timeBase)
}

func (w *Writer) sendFrame(frame *Frame, pts int64) error {
	size := frame.Format.FrameBytes(frame.Width, frame.Height)
	if len(frame.buffer) == headRoom+size {
		header := frame.buffer[headRoom-ivfFrameHeader:]
		putFrameHeader(header, size, pts)
		return w.send(header)
	}
	header := make([]byte, ivfFrameHeader)
	putFrameHeader(header, size, pts)
	if err := w.send(header); err != nil {
		return err
	}
	for i := range frame.Format.AllPlanes() {
		if err := w.send(frame.Planes[i].Data); err != nil {
			return err
		}
	}
	return nil
}

// send pipes bytes to the encoder.
func (w *Writer) send(b []byte) error {
	if err := context.Cause(w.ctx); err != nil {
		return fileError(w.temp, err, "")
	}
	_ = w.stdin.SetWriteDeadline(time.Now().Add(w.plan.options.Stall))
	_, err := w.stdin.Write(b)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fileError(w.temp, ErrStalled, "the encoder took no frame for %s after frame %d",
			w.plan.options.Stall, w.frames)
	case errors.Is(err, os.ErrClosed):
		return fileError(w.temp, os.ErrClosed, "")
	}
	_ = w.stdin.Close()
	if err := w.ended(w.ctx); err != nil {
		return err
	}
	return fileError(w.temp, ErrTool, "the encoder exited on its own after frame %d", w.frames)
}

// ended waits for the encoder to exit and returns what went wrong with it.
func (w *Writer) ended(ctx context.Context) error {
	stop := context.AfterFunc(ctx, w.child.kill)
	defer stop()
	err := w.child.waitWhile(w.segmentPath(len(w.segments)), w.plan.options.Stall)
	text, failed := w.child.complaints()
	for _, ctx := range []context.Context{ctx, w.ctx} {
		if cause := context.Cause(ctx); cause != nil {
			return fileError(w.temp, cause, "")
		}
	}
	switch {
	case err == nil && !failed:
		return nil
	case errors.As(err, new(overLimit)):
		return fileError(w.temp, ErrLimit, "%v, encoding; it ended after frame %d", err, w.frames)
	case errors.Is(err, ErrStalled):
		return fileError(w.temp, ErrStalled, "the encoder wrote nothing for %s after frame %d",
			w.plan.options.Stall, w.frames)
	case err == nil:
		err = errors.New("it reports errors")
	}
	return fileError(w.temp, encodeCause(text), "the encoder failed after frame %d: %s", w.frames, describe(text, err))
}

// diskCause classifies a file system error.
func diskCause(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return ErrNoSpace
	case errors.Is(err, fs.ErrNotExist):
		return ErrVanished
	default:
		return ErrUnwritable
	}
}

// WriteError wraps a file system error that occurred while writing an output in its cause, ErrNoSpace, ErrVanished or
// ErrUnwritable. nil stays nil.
func WriteError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", diskCause(err), err)
}

// encodeCause classifies what ffmpeg says about a file that it cannot write.
func encodeCause(complaint string) error {
	for part, cause := range map[string]error{
		"No space left on device": ErrNoSpace,
		"Disk quota exceeded":     ErrNoSpace,
		"File too large":          ErrNoSpace,
		"Read-only file system":   ErrUnwritable,
		"Permission denied":       ErrUnwritable,
		"Input/output error":      ErrUnwritable,
	} {
		if strings.Contains(complaint, part) {
			return cause
		}
	}
	return ErrTool
}

// EndUnknown declares that the source may end before its headers say, so that they do not determine how long the
// output's last frame is shown.
func (w *Writer) EndUnknown() { w.plan.info.end = 0 }

// Finish ends the encoder, joins the segments, and verifies that the file at Create's path shows each written frame at
// its time. Then the caller owns that file, and must sync and rename it. The caller must also remove the segments: all
// files whose names begin like the file's. Until then, another writer can resume from them. If Finish fails, it removes
// the file.
func (w *Writer) Finish(ctx context.Context) error {
	return w.FinishBeside(ctx, func(context.Context) error { return nil })
}

// FinishBeside is like Finish, but calls beside while the file is verified. If one of the two fails, the other's
// context ends.
func (w *Writer) FinishBeside(ctx context.Context, beside func(context.Context) error) error {
	err := w.finish(ctx, beside)
	if err != nil {
		_ = w.Abort()
	}
	return err
}

func (w *Writer) finish(ctx context.Context, beside func(context.Context) error) error {
	if w.err != nil {
		return w.err
	}
	if w.frames == 0 {
		return fileError(w.temp, ErrUnsupported, "a video without frames")
	}
	seal := w.seal
	if w.base != nil {
		seal = func(context.Context) error { return w.EndSegment() }
	}
	if err := w.mux(ctx, seal); err != nil {
		return err
	}
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := w.verify(both); err != nil {
			return outputFault(err)
		}
		return nil
	})
	group.Go(func() error { return beside(both) })
	if err := group.Wait(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return fileError(w.temp, os.ErrClosed, "")
	}
	w.over = true
	w.extras.close()
	return nil
}

// Abort ends the encoder, waits for it and removes the temporary files, except those that Seal sealed: another writer
// may resume from them, and otherwise the caller removes them. Abort may be called twice. After Finish it does nothing.
func (w *Writer) Abort() error {
	w.keys.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.child != nil {
		w.child.kill()
	}
	if w.stdin != nil {
		_ = w.stdin.Close()
	}
	if w.child != nil {
		_ = w.child.wait()
	}
	if w.over {
		return nil
	}
	w.over = true
	w.extras.close()
	paths := []string{w.segmentPath(len(w.segments))}
	if w.logged == 0 && len(w.adopted) == 0 { // Seal sealed nothing
		paths = append(paths, w.segmentPath(0))
	}
	return removeFiles(append(paths, w.temp)...)
}

func removeFiles(paths ...string) error {
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fileError(path, ErrUnwritable, "%v", rootCause(err)))
		}
	}
	return errors.Join(errs...)
}
