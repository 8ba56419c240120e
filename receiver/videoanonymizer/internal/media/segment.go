// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// Progress is what a writer sealed. With it, another writer can resume, even in another process.
type Progress struct {
	// Frames is the number of frames in the segments.
	Frames int64 `json:"frames"`
	// Origin was subtracted from the time of each frame, in units of the source's time base.
	Origin int64 `json:"origin"`
	// Segments are the files of the encoded frames.
	Segments []Sealed `json:"segments"`
	// Ends are the numbers of frames up to the end of each segment.
	Ends []int64 `json:"ends"`
	// Times is the file with the frames' times.
	Times Sealed `json:"times"`
}

// Sealed identifies the part of a file that was sealed: its first Size bytes.
type Sealed struct {
	Size int64 `json:"size"`
	// SHA256 is the digest of these bytes, in hex.
	SHA256 string `json:"sha256"`
}

// identify reads a file to its end, and returns its size and digest.
func identify(f io.Reader) (Sealed, error) {
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	return Sealed{size, hex.EncodeToString(hash.Sum(nil))}, err
}

func identifyFile(path string) (Sealed, error) {
	f, err := durable.Open(path, os.O_RDONLY)
	if err != nil {
		return Sealed{}, err
	}
	defer func() { _ = f.Close() }()
	return identify(f)
}

// changed is the message about a file that is not what was sealed.
const changed = "it is not as it was when it was sealed"

// SealedError returns why a sealed file cannot be used: ErrResume if it is missing, changed or inaccessible to this
// process, and ErrIO or ErrNoSpace if the disk failed, which proves nothing about the file.
func SealedError(path string, err error) error {
	var errno syscall.Errno
	kept := []syscall.Errno{syscall.ENOENT, syscall.EACCES, syscall.EPERM, syscall.ELOOP, syscall.ENXIO, syscall.EISDIR}
	switch {
	case !errors.As(err, &errno), slices.Contains(kept, errno):
		return fileError(path, ErrResume, "%s: %v", changed, rootCause(err))
	case errors.Is(diskCause(err), ErrNoSpace):
		return fileError(path, ErrNoSpace, "%v", rootCause(err))
	}
	return fileError(path, ErrIO, "%v", rootCause(err))
}

// stemOf returns the common beginning of the names of a writer's files.
func stemOf(tempPath string) string { return strings.TrimSuffix(tempPath, filepath.Ext(tempPath)) }

func (w *Writer) segmentPath(n int) string {
	if n < len(w.adopted) {
		return w.adopted[n]
	}
	return SegmentPath(w.temp, n)
}

// SegmentPath returns the path of the n-th segment that a writer from Create or CreatePart sealed at tempPath.
func SegmentPath(tempPath string, n int) string {
	return fmt.Sprintf("%s.%05d.segment", stemOf(tempPath), n)
}

func (w *Writer) timesPath() string { return TimesPath(w.temp) }

// TimesPath returns the path of the times of the frames that such a writer sealed.
func TimesPath(tempPath string) string { return stemOf(tempPath) + ".times" }

// startSegment starts the encoder of the next segment.
func (w *Writer) startSegment() error {
	path := w.segmentPath(len(w.segments))
	w.segmentStart = w.frames
	segment, err := reserve(path)
	if err != nil {
		return err
	}
	stdinEnd, stdin, err := os.Pipe()
	if err != nil {
		_ = segment.Close()
		return fileError(path, ErrTool, "%v", err)
	}
	enlargePipe(stdin)
	w.mu.Lock()
	if w.over {
		err = os.ErrClosed
		streams{stdin: stdinEnd, output: segment}.close()
	} else {
		w.stdin = stdin
		w.child, err = w.tools.start(w.ctx, w.tools.FFmpeg, w.plan.encodeArgs(),
			streams{stdin: stdinEnd, output: segment}, w.plan.bounds(), nil)
	}
	w.mu.Unlock()
	if err != nil {
		_ = stdin.Close()
		_ = os.Remove(path)
		return fileError(path, ErrTool, "%v", err)
	}
	return w.send(ivfHeader(w.plan.info, w.plan.segmentTimeBase()))
}

// Seal ends the current segment, which must not be empty, and syncs it to disk along with the times of all frames so
// far. With the Progress that it returns, another writer can resume from here.
func (w *Writer) Seal() (Progress, error) {
	if w.err == nil {
		w.err = w.seal(w.ctx)
	}
	if w.err == nil {
		w.err = w.logTimes()
	}
	return Progress{
		Frames: w.frames, Origin: w.origin, Segments: slices.Clone(w.segments), Ends: slices.Clone(w.ends),
		Times: Sealed{int64(w.logged), hex.EncodeToString(w.timesHash.Sum(nil))},
	}, w.err
}

// seal ends the current segment, if there is one.
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
	var sealed Sealed
	if err == nil {
		sealed, err = identifyFile(path)
	}
	if err != nil {
		return fileError(path, diskCause(err), "%v", rootCause(err))
	}
	w.keys.compare(w.tools, path, w.plan.info.limits)
	w.segments, w.ends = append(w.segments, sealed), append(w.ends, w.frames)
	var sum int64
	for _, segment := range w.segments {
		sum += segment.Size
	}
	if most := w.plan.info.limits.MaxOutput << 20; sum > most {
		return fileError(w.temp, ErrLimit, "%v", overOutput(most))
	}
	return nil
}

// logTimes appends the times of the frames since the last call to their file, and syncs it.
func (w *Writer) logTimes() error {
	open := func(path string) (*os.File, error) { return durable.Open(path, os.O_WRONLY) }
	if w.logged == 0 {
		open = durable.Replace
	}
	f, err := open(w.timesPath())
	if err == nil {
		w.timesHash.Write(w.times.deltas[w.logged:])
		_, err = f.WriteAt(w.times.deltas[w.logged:], int64(w.logged))
		err = errors.Join(err, durable.Sync(f), f.Close())
	}
	if err != nil {
		return fileError(w.timesPath(), diskCause(err), "%v", rootCause(err))
	}
	w.logged = len(w.times.deltas)
	return nil
}

// resume takes over what an earlier writer sealed. It removes what that writer had not sealed, and its partly joined
// output.
func (w *Writer) resume(p Progress) error {
	w.segments, w.ends = slices.Clone(p.Segments), slices.Clone(p.Ends)
	if len(w.ends) != len(w.segments) {
		return fileError(w.temp, ErrResume, "it is unknown which frames its segments hold")
	}
	for n, sealed := range p.Segments {
		got, err := identifyFile(w.segmentPath(n))
		if err != nil {
			return SealedError(w.segmentPath(n), err)
		}
		if got != sealed {
			return fileError(w.segmentPath(n), ErrResume, changed)
		}
	}
	shown, err := readTimes(w.timesPath(), p.Times)
	if err != nil {
		return err
	}
	if len(shown) == 0 || int64(len(shown)) != p.Frames {
		return fileError(w.timesPath(), ErrResume, "it holds %d times instead of %d", len(shown), p.Frames)
	}
	for _, pts := range shown {
		w.times.add(pts)
	}
	w.frames, w.logged = p.Frames, len(w.times.deltas)
	w.timesHash.Write(w.times.deltas)
	if w.beginAt(shown[0]); w.origin != p.Origin {
		return fileError(w.timesPath(), ErrResume, "its times start from another zero")
	}
	unsealed := []string{w.temp}
	for n := len(w.segments); ; n++ {
		if _, err := os.Lstat(w.segmentPath(n)); err != nil {
			return removeFiles(unsealed...)
		}
		unsealed = append(unsealed, w.segmentPath(n))
	}
}

// Segments returns the parts of the output that are encoded independently, as half-open ranges of frames. It is
// complete after Finish.
func (w *Writer) Segments() [][2]int {
	ranges, from := make([][2]int, len(w.ends)), 0
	for i, end := range w.ends {
		ranges[i] = [2]int{from, int(end)}
		from = int(end)
	}
	return ranges
}

// Shown returns the PTS of all frames written so far, including those of an earlier writer, in units of the source's
// time base.
func (w *Writer) Shown() []int64 { return shownIn(w.times.deltas) }
