// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// Progress is what an earlier writer sealed, by which another one can go on, in another process too.
type Progress struct {
	// Frames is how many frames the segments hold.
	Frames int64 `json:"frames"`
	// Origin was taken from the time of each frame, in units of the source's time base.
	Origin int64 `json:"origin"`
	// Segments are their sizes in bytes.
	Segments []int64 `json:"segments"`
	// Times is the length in bytes of the file that holds the frames' times.
	Times int64 `json:"times"`
}

// Writer encodes one video, in segments that are joined in the end. Its methods are for one goroutine, but for Abort, which may end a
// Write.
type Writer struct {
	tools   Tools
	ctx     context.Context
	temp    string
	plan    Plan
	besides besides

	segments []int64 // sizes of those sealed
	frames   int64
	origin   int64   // taken from every time
	first    int64   // PTS of the first frame
	times    timeLog // PTS of all frames
	logged   int     // bytes of them that are in their file
	err      error   // what Write ended with

	mu    sync.Mutex
	child *child   // the encoder of the segment at hand, nil before the first
	stdin *os.File // its end of the pipe, nil between two segments
	over  bool     // finished or aborted: the temporary files are no longer ours
}

// Create starts writing a video to tempPath: a hidden name in the folder where the video will be. Until Finish its segments lie beside
// it, under names with the same beginning. Size, colors and time base are the source's. Nothing else of the source gets into the output
// unless the plan says so: no audio, subtitles, data, chapters, cover, metadata or encoder settings.
//
// With resume, it resumes after the segments that an earlier writer sealed at the same path, with the same plan. Without, tempPath must
// not exist.
//
// The writer ends when ctx does. Create fails with ErrUnsupported, ErrExists, ErrUnwritable, ErrNoSpace, ErrTool, or ErrResume.
func (t Tools) Create(ctx context.Context, tempPath string, plan Plan, resume *Progress) (*Writer, error) {
	temp, err := filepath.Abs(tempPath)
	if err != nil {
		return nil, fileError(tempPath, ErrUnwritable, "%v", err)
	}
	if _, err := os.Lstat(temp); err == nil && resume == nil {
		return nil, fileError(temp, ErrExists, "left as it is")
	}
	w := &Writer{tools: t, ctx: ctx, temp: temp, plan: plan}
	if err := w.begin(resume); err != nil {
		_ = w.Abort()
		return nil, err
	}
	return w, nil
}

func (w *Writer) begin(resume *Progress) error {
	if resume != nil {
		if err := w.resume(*resume); err != nil {
			return err
		}
	}
	if err := w.gather(); err != nil || resume != nil { // after a resume, possibly only the joining is left
		return err
	}
	return w.startSegment()
}

// stem is what the names of all files of this writer begin with.
func (w *Writer) stem() string { return strings.TrimSuffix(w.temp, filepath.Ext(w.temp)) }

func (w *Writer) segmentPath(n int) string { return fmt.Sprintf("%s.%05d.segment", w.stem(), n) }

func (w *Writer) timesPath() string { return w.stem() + ".times" }

// startSegment starts the encoder of the next segment.
func (w *Writer) startSegment() error {
	path := w.segmentPath(len(w.segments))
	if err := reserve(path); err != nil {
		return err
	}
	stdinEnd, stdin, err := os.Pipe()
	if err != nil {
		return fileError(path, ErrTool, "%v", err)
	}
	enlargePipe(stdin)
	w.mu.Lock()
	if w.over {
		err = os.ErrClosed
		_ = stdinEnd.Close()
	} else {
		w.stdin = stdin
		w.child, err = start(w.ctx, w.tools.FFmpeg, w.plan.encodeArgs(path), streams{stdin: stdinEnd},
			w.plan.info.limits.writing(), nil)
	}
	w.mu.Unlock()
	if err != nil {
		_ = stdin.Close()
		_ = os.Remove(path)
		return fileError(path, ErrTool, "%v", err)
	}
	return w.send(ivfHeader(w.plan.info, w.plan.unit()))
}

// reserve makes sure that a file is ours.
func reserve(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fileError(path, ErrExists, "left as it is")
	case errors.Is(err, fs.ErrNotExist):
		return fileError(path, ErrUnwritable, "its folder does not exist")
	case err != nil:
		return fileError(path, diskCause(err), "%v", rootCause(err))
	}
	return f.Close()
}

// Write hands a frame to the encoder. It does not keep the frame. PTS must grow from frame to frame. It fails with
// ErrNoSpace, ErrUnwritable, ErrStalled, ErrTool, ErrUnsupported (another size or format than Create was told, or a time
// that the container cannot hold) or the context's error; the same again when called again.
func (w *Writer) Write(frame *Frame) error {
	if w.err == nil {
		w.err = w.write(frame)
	}
	return w.err
}

func (w *Writer) write(frame *Frame) error {
	if frame.Width != w.plan.info.Width || frame.Height != w.plan.info.Height || frame.Format != w.plan.info.Format {
		return fileError(w.temp, ErrUnsupported, "a frame of %d x %d %s in a video of %d x %d %s",
			frame.Width, frame.Height, frame.Format.Name, w.plan.info.Width, w.plan.info.Height, w.plan.info.Format.Name)
	}
	if w.frames == 0 {
		w.first = frame.PTS
		if w.plan.container.fromZero || frame.PTS < 0 {
			w.origin = frame.PTS // a container would hide what is shown before zero
		}
	}
	pts := w.planned(frame.PTS)
	if w.frames > 0 && pts <= w.planned(w.times.last) {
		return fileError(w.temp, ErrUnsupported, "the time of frame %d is not after the one before it", frame.Index)
	}
	if w.stdin == nil {
		if err := w.startSegment(); err != nil {
			return err
		}
	}
	unit := w.plan.unit()
	if err := w.sendFrame(frame, rescale(pts, w.plan.timeBase, unit)+lead*unit.Den); err != nil {
		return err
	}
	w.times.add(frame.PTS)
	w.frames++
	return nil
}

// planned is when a frame of a time is to be shown, in units of the plan's time base.
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
		return fileError(w.temp, ErrStalled, "the encoder took no frame for %s after frame %d", w.plan.options.Stall, w.frames)
	case errors.Is(err, os.ErrClosed):
		return fileError(w.temp, os.ErrClosed, "")
	}
	_ = w.stdin.Close()
	if err := w.ended(w.ctx); err != nil {
		return err
	}
	return fileError(w.temp, ErrTool, "the encoder ended by itself after frame %d", w.frames)
}

// ended waits for the encoder and tells what went wrong with it.
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
	if err == nil && !failed {
		return nil
	}
	if errors.As(err, new(overLimit)) {
		return fileError(w.temp, ErrLimit, "%v, encoding; it ended after frame %d", err, w.frames)
	}
	if errors.Is(err, ErrStalled) {
		return fileError(w.temp, ErrStalled, "the encoder wrote nothing for %s after frame %d", w.plan.options.Stall, w.frames)
	}
	if err == nil {
		err = errors.New("it reports errors")
	}
	return fileError(w.temp, encodeCause(text), "the encoder failed after frame %d: %s", w.frames, describe(text, err))
}

// diskCause sorts an error of the file system.
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

// Seal ends the segment at hand, which must not be empty, and brings it to the disk, with the times of all frames written so far: with
// what it returns another writer can go on from here.
func (w *Writer) Seal() (Progress, error) {
	if w.err == nil {
		w.err = w.seal(w.ctx)
	}
	if w.err == nil {
		w.err = w.logTimes()
	}
	return Progress{Frames: w.frames, Origin: w.origin, Segments: slices.Clone(w.segments), Times: int64(w.logged)}, w.err
}

// seal ends the encoder of the segment at hand, if there is one.
func (w *Writer) seal(ctx context.Context) error {
	if w.stdin == nil {
		return nil
	}
	w.mu.Lock()
	err := w.stdin.Close()
	w.stdin = nil
	w.mu.Unlock()
	if err != nil {
		return fileError(w.temp, os.ErrClosed, "")
	}
	if err := w.ended(ctx); err != nil {
		return err
	}
	path := w.segmentPath(len(w.segments))
	err = durable.SyncPath(path)
	var stat fs.FileInfo
	if err == nil {
		stat, err = os.Stat(path)
	}
	if err != nil {
		return fileError(path, diskCause(err), "%v", rootCause(err))
	}
	w.segments = append(w.segments, stat.Size())
	var sum int64
	for _, size := range w.segments {
		sum += size
	}
	if most := w.plan.info.limits.MaxOutput << 20; sum > most {
		return fileError(w.temp, ErrLimit, "%v", overOutput(most))
	}
	return nil
}

// EndUnknown tells that the source may end before its announced end, by which the output's last frame would else be shown too long.
func (w *Writer) EndUnknown() { w.plan.info.end = 0 }

// Finish ends the encoder, joins the segments and makes sure that the file at Create's path holds each frame written at its time. From
// then on the file is the caller's, who brings it to the disk and gives it its name, and the segments, from which the work can go on
// until then: all names that begin as the file's does. If Finish fails the file is removed.
func (w *Writer) Finish(ctx context.Context) error {
	err := w.finish(ctx)
	if err != nil {
		_ = w.Abort()
	}
	return err
}

func (w *Writer) finish(ctx context.Context) error {
	if w.err != nil {
		return w.err
	}
	if w.frames == 0 {
		return fileError(w.temp, ErrUnsupported, "a video without frames")
	}
	if err := w.seal(ctx); err != nil {
		return err
	}
	if err := w.mux(ctx); err != nil {
		return err
	}
	if err := w.verify(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return fileError(w.temp, os.ErrClosed, "")
	}
	w.over = true
	w.besides.close()
	return nil
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

// Abort ends the encoder, waits for it and removes the temporary files, but for what was sealed by Seal: another writer may go on from
// there, and otherwise the caller removes it. It may be called twice, and after Finish, where it does nothing.
func (w *Writer) Abort() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.child != nil {
		w.child.kill()
		_ = w.child.wait()
	}
	if w.stdin != nil {
		_ = w.stdin.Close()
	}
	if w.over {
		return nil
	}
	w.over = true
	w.besides.close()
	paths := []string{w.segmentPath(len(w.segments))}
	if w.logged == 0 { // nothing was sealed by Seal
		paths = append(paths, w.segmentPath(0))
	}
	return removeFiles(append(paths, w.temp)...)
}
