// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// mux joins the segments and the extras in the output. It seals the last segment while ffmpeg starts.
func (w *Writer) mux(ctx context.Context, seal func(context.Context) error) error {
	stall := w.plan.options.Stall
	temp, err := reserve(w.temp)
	if err != nil {
		return err
	}
	s := streams{output: temp}
	stdinEnd, stdin, err := os.Pipe()
	if err != nil {
		s.close()
		return fileError(w.temp, ErrTool, "%v", err)
	}
	defer func() { _ = stdin.Close() }()
	s.stdin = stdinEnd
	if w.extras.source != nil {
		if s.source, err = w.extras.reopen(); err != nil {
			s.close()
			return err
		}
	}
	muxer, err := w.tools.start(ctx, w.tools.FFmpeg, w.muxArgs(), s, w.plan.info.limits.writing(), nil)
	if err != nil {
		return fileError(w.temp, ErrTool, "%v", err)
	}
	join := w.join
	if w.base != nil {
		join = w.joinParts
	}
	if err := seal(ctx); err != nil {
		muxer.kill()
		_ = muxer.wait()
		return err
	}
	joined := join(deadlineWriter{stdin, stall})
	_ = stdin.Close()
	if joined != nil && !errors.Is(joined, syscall.EPIPE) {
		muxer.kill()
	}
	err = muxer.waitWhile(w.temp, stall)
	text, _ := muxer.complaints()
	switch {
	case context.Cause(ctx) != nil:
		return fileError(w.temp, context.Cause(ctx), "")
	case errors.As(err, new(overLimit)):
		return fileError(w.temp, ErrLimit, "%v, joining its segments", err)
	case errors.Is(err, ErrStalled), errors.Is(joined, os.ErrDeadlineExceeded):
		return fileError(w.temp, ErrStalled, "its segments could not be joined: nothing was read or written for %s",
			stall)
	case joined != nil && !errors.Is(joined, syscall.EPIPE):
		return joined
	case err != nil:
		return fileError(w.temp, encodeCause(text), "its segments could not be joined: %s", describe(text, err))
	case !errors.Is(encodeCause(text), ErrTool): // ffmpeg may exit with 0 even if it could not write
		return fileError(w.temp, encodeCause(text), "its segments could not be joined: %s", tidy(text))
	}
	// Other complaints are about the source's audio, which was like that before. verify finds missing frames.
	return joined
}

// muxArgs make ffmpeg read the joined segments from its stdin and the extras from the source, and write the output.
func (w *Writer) muxArgs() []string {
	p, e := w.plan, &w.extras
	args := append(slices.Clone(quietArgs), "-y", "-copyts",
		"-protocol_whitelist", "pipe", "-itsoffset", strconv.Itoa(-lead), "-f", "mov", "-i", "pipe:0")
	streams := []string{"-map", "0:v:0"}
	silence := "1" // number of the input with silence, which comes after the source if there is one
	if e.source != nil {
		silence = "2"
	}
	chapters := []string{"-map_chapters", "-1"}
	if e.source != nil {
		args = append(args, inputArgs(p.info.limits)...)
		args = append(args, "-itsoffset", inSeconds(-timeOf(w.origin, p.info.TimeBase)), "-i", inputURL)
		streams = append(streams, e.mapping(1)...)
		if e.chapters {
			chapters = []string{"-map_chapters", "1"} // including their titles
		}
	}
	if e.silent > 0 {
		first := timeOf(w.planned(w.first), p.timeBase)
		length := timeOf(w.planned(w.times.last)+1, p.timeBase) - first + timeOf(framePeriod(p.info), p.info.TimeBase)
		args = append(args, "-itsoffset", inSeconds(first), "-t", inSeconds(length),
			"-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo")
	}
	for range e.silent {
		streams = append(streams, "-map", silence+":a")
	}
	args = append(args, streams...)
	args = append(args, "-c", "copy")
	args = append(args, w.audioArgs()...)
	args = append(args, "-map_metadata:g", "-1", "-map_metadata:s", "-1", "-fflags", "+bitexact", "-flags", "+bitexact")
	args = append(args, chapters...)
	for _, tag := range e.tags {
		args = append(args, "-metadata", tag)
	}
	args = append(args, colorArgs(p.info)...)
	args = append(args, "-bsf:v", p.muxFilters())
	if p.container.args != nil {
		args = append(args, p.container.args(p)...)
	}
	return append(args, "-f", p.container.muxer, outputURL)
}

func inSeconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

// muxFilters make decoding times increase across segment boundaries, and give each packet a duration, which the encoder
// does not know. Containers keep only the last packet's duration, which is part of the video's length. That packet
// lasts until the source's end if that is known, on the decoding clock too, by which the MOV family counts, and
// otherwise for the mean duration. The MOV family takes at most 2^31 - 1 units.
//
// Muxers with their own unit get times in that unit, while the filter's TB is the unit of the segments.
func (p Plan) muxFilters() string {
	info := p.info
	times := `setts=pts=PTS:dts=if(N\,max(DTS\,PREV_OUTDTS+1)\,DTS)`
	unit := cmp.Or(p.container.unit, "TB")
	if duration := meanDuration(info, unit); duration != "" {
		if info.end > 0 && !p.container.fromZero {
			end := fmt.Sprintf("round(%d*%d/%d/%s)", info.end, info.TimeBase.Num, info.TimeBase.Den, unit)
			duration = fmt.Sprintf(`clip(min(%s-PTS\,%s-STARTPTS-DTS+STARTDTS)\,1\,%d)`, end, end, math.MaxInt32)
		}
		times += ":duration=" + duration
	}
	if p.container.muxer == "avi" && p.codec.name == "h264" {
		times += ",h264_mp4toannexb"
	}
	return times
}

// meanDuration is the mean time between frames as an expression for the filter setts, in a unit that is stated in
// seconds; "" if unknown.
func meanDuration(info Info, unit string) string {
	if info.FrameRate.Num <= 0 {
		return ""
	}
	return fmt.Sprintf("round(%d/%d/%s)", info.FrameRate.Den, info.FrameRate.Num, unit)
}

// join writes the segments one after the other: the first one whole, and only the fragments of the others, since the
// boxes before those are the same.
func (w *Writer) join(to io.Writer) error {
	var first []byte
	for n, sealed := range w.segments {
		path := w.segmentPath(n)
		f, err := durable.Open(path, os.O_RDONLY)
		if err != nil {
			return fileError(path, ErrUnreadable, "%v", rootCause(err))
		}
		hash := sha256.New()
		segment := io.TeeReader(f, hash)
		head, err := appendSegment(to, segment, n == 0)
		_, restErr := io.Copy(io.Discard, segment)
		_ = f.Close()
		switch {
		case restErr != nil:
			return fileError(path, ErrUnreadable, "%v", rootCause(restErr))
		case hex.EncodeToString(hash.Sum(nil)) != sealed.SHA256:
			return fileError(path, ErrResume, changed)
		case err != nil:
			return fmt.Errorf("%q: %w: %w", path, ErrTool, err)
		}
		described := description(head)
		if n == 0 {
			first = described
		} else if !bytes.Equal(first, described) {
			cause := ErrTool
			if len(w.adopted) > 0 { // encoding all parts in sequence may succeed where separate parts do not match
				cause = ErrResume
			}
			return fileError(path, cause, "the encoder described it differently from the first segment")
		}
	}
	return nil
}

// description returns what the boxes before a segment's fragments say about the whole video: all except sdtp, which
// ffmpeg adds, empty, if the first fragment has a frame that no other frame refers to.
func description(boxes []byte) (described []byte) {
	for len(boxes) >= 8 {
		size, kind := int(binary.BigEndian.Uint32(boxes)), string(boxes[4:8])
		if size < 8 || size > len(boxes) { // not a box that ffmpeg writes here: compare the bytes
			break
		}
		switch kind {
		case "moov", "trak", "mdia", "minf", "stbl", "mvex": // these contain boxes, and an sdtp inside changes their size
			described = append(append(described, kind...), description(boxes[8:size])...)
		case "sdtp":
		default:
			described = append(described, boxes[:size]...)
		}
		boxes = boxes[size:]
	}
	return append(described, boxes...)
}

// deadlineWriter writes to a pipe, and fails if its reader takes nothing for the duration stall.
type deadlineWriter struct {
	pipe  *os.File
	stall time.Duration
}

func (w deadlineWriter) Write(b []byte) (int, error) {
	_ = w.pipe.SetWriteDeadline(time.Now().Add(w.stall))
	return w.pipe.Write(b)
}

// maxHead bounds the boxes before a segment's fragments, generously.
const maxHead = 1 << 20

// appendSegment copies a segment's fragments, and returns the boxes before them. With withHead it copies those boxes
// too.
func appendSegment(to io.Writer, segment io.Reader, withHead bool) (head []byte, err error) {
	for {
		kind, start, rest, err := readBox(segment)
		if errors.Is(err, io.EOF) {
			return head, nil
		} else if err != nil {
			return nil, err
		}
		switch kind {
		case "ftyp", "moov":
			if size := int64(len(start)) + rest; int64(len(head))+size > maxHead {
				return nil, fmt.Errorf("box %q of %d bytes", kind, size)
			}
			box := slices.Concat(start, make([]byte, rest))
			if _, err := io.ReadFull(segment, box[len(start):]); err != nil {
				return nil, err
			}
			head = append(head, box...)
			if withHead {
				_, err = to.Write(box)
			}
		case "moof", "mdat":
			if _, err = to.Write(start); err == nil {
				_, err = io.CopyN(to, segment, rest)
			}
		default:
			_, err = io.CopyN(io.Discard, segment, rest)
		}
		if err != nil {
			return nil, err
		}
	}
}

// readBox reads the beginning of a box (ISO/IEC 14496-12, 4.2): its kind, the bytes read, and how many are left. It
// fails with io.EOF if there is no further box.
func readBox(segment io.Reader) (kind string, start []byte, rest int64, err error) {
	start = make([]byte, 8, 16)
	if _, err := io.ReadFull(segment, start); err != nil {
		return "", nil, 0, err
	}
	size := int64(binary.BigEndian.Uint32(start))
	kind = string(start[4:])
	if size == 1 { // a longer size follows
		start = start[:16]
		if _, err := io.ReadFull(segment, start[8:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return "", nil, 0, err
		}
		size = int64(binary.BigEndian.Uint64(start[8:]))
	}
	if rest = size - int64(len(start)); rest < 0 {
		return "", nil, 0, fmt.Errorf("box %q of %d bytes", kind, size)
	}
	return kind, start, rest, nil
}
