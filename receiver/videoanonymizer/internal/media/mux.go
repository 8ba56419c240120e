// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The values of WriteOptions.Audio.
const (
	// AudioDrop leaves the audio out: voices identify people.
	AudioDrop = "drop"
	// AudioCopy copies all audio streams of the source as they are.
	AudioCopy = "copy"
	// AudioMute replaces each audio stream of the source by silence as long as the video.
	AudioMute = "mute"
)

// AudioModes returns the values of WriteOptions.Audio.
func AudioModes() []string { return []string{AudioDrop, AudioCopy, AudioMute} }

// The values of WriteOptions.Keep that are no names of tags.
const (
	KeepChapters  = "chapters"
	KeepSubtitles = "subtitles"
)

// besides are what an output gets beside its pictures.
type besides struct {
	source          *os.File // nil where none of the following needs it
	copied          bool     // sound
	silent          int      // tracks of silence
	subtitles       bool
	chapters        bool
	tags            []string // key=value
	audio, subtitle int      // streams wanted in the output
}

// gather finds out what is wanted of the source and whether the container takes it, so that it is refused before the work rather
// than after it.
func (w *Writer) gather() error {
	e, info, options := &w.besides, w.plan.info, w.plan.options
	e.copied = options.Audio == AudioCopy && info.AudioStreams > 0
	e.subtitles = slices.Contains(options.Keep, KeepSubtitles) && info.SubtitleStreams > 0
	e.chapters = slices.Contains(options.Keep, KeepChapters)
	if options.Audio == AudioMute {
		e.silent = info.AudioStreams
	}
	tags := slices.DeleteFunc(slices.Clone(options.Keep), func(k string) bool { return k == KeepChapters || k == KeepSubtitles })
	if e.copied || e.silent > 0 {
		e.audio = info.AudioStreams
	}
	if e.subtitles {
		e.subtitle = info.SubtitleStreams
	}
	if !e.copied && !e.subtitles && !e.chapters && len(tags) == 0 {
		return nil
	}
	f, id, err := openSource(info.Path)
	if err != nil {
		return err
	}
	e.source = f
	if id != info.id {
		return fileError(info.Path, ErrVanished, "it changed since it was looked at")
	}
	if len(tags) > 0 {
		if err := w.readTags(tags); err != nil {
			return err
		}
	}
	if e.copied || e.subtitles {
		return w.tryBesides()
	}
	return nil
}

// maxTag is about half of what the kernel takes as one argument of a program.
const maxTag = 64 << 10

// readTags reads those of the source's tags that are wanted.
func (w *Writer) readTags(names []string) error {
	f, err := w.besides.reopen()
	if err != nil {
		return err
	}
	var p struct {
		Format struct {
			Tags map[string]string `json:"tags"`
		} `json:"format"`
	}
	if err := w.tools.ask(w.ctx, w.plan.info.Path, f, w.plan.info.limits, &p, "-show_entries", "format_tags"); err != nil {
		return err
	}
	for key, value := range p.Format.Tags {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, key) }) || strings.ContainsAny(key, "=:") {
			continue
		}
		if len(value) > maxTag {
			return fileError(w.plan.info.Path, ErrLimit, "its tag %q is longer than %d bytes: leave it out of output::keep", key, maxTag)
		}
		w.besides.tags = append(w.besides.tags, key+"="+value)
	}
	slices.Sort(w.besides.tags)
	return nil
}

// tryBesides writes the beginning of sound and subtitles into the container, alone.
func (w *Writer) tryBesides() error {
	f, err := w.besides.reopen()
	if err != nil {
		return err
	}
	args := append(append(slices.Clone(quietly), "-y"), inputArgs(w.plan.info.limits)...)
	args = append(args, "-t", "1", "-i", inputURL)
	args = append(args, w.besides.mapping(0)...)
	args = append(args, w.plan.soundFilter()...)
	args = append(args, "-c", "copy", "-map_metadata", "-1", "-map_chapters", "-1", "-f", w.plan.container.muxer, "file:"+w.temp)
	if err := reserve(w.temp); err != nil {
		_ = f.Close()
		return err
	}
	defer func() { _ = os.Remove(w.temp) }()
	if _, err = output(w.ctx, w.tools.FFmpeg, args, f, w.plan.info.limits.writing(), nil); err == nil {
		err = w.countBesides()
	}
	cause := ErrUnsupported
	switch {
	case err == nil:
		return nil
	case context.Cause(w.ctx) != nil:
		return fileError(w.plan.info.Path, context.Cause(w.ctx), "")
	case errors.As(err, new(overLimit)):
		return fileError(w.plan.info.Path, ErrLimit, "%v, trying its sound or subtitles", err)
	case errors.Is(err, ErrTool), crashed(err):
		cause = ErrTool
	default:
		if disk := encodeCause(err.Error()); disk != ErrTool {
			cause = disk
		}
	}
	advice := "choose container mkv, or leave them out"
	if w.plan.container.muxer == "matroska" {
		advice = "leave them out"
	}
	return fileError(w.plan.info.Path, cause, "its sound or subtitles do not go into %s: %s: %s", w.plan.container.muxer, advice, tidy(err.Error()))
}

// countBesides makes sure that what was tried can be read back: some containers take any stream, as data that nobody knows.
func (w *Writer) countBesides() error {
	f, err := os.Open(w.temp)
	if err != nil {
		return err
	}
	var p struct {
		Streams []struct {
			Type string `json:"codec_type"`
		} `json:"streams"`
	}
	if err := w.tools.ask(w.ctx, w.temp, f, w.plan.info.limits, &p, "-show_entries", "stream=codec_type"); err != nil {
		return err
	}
	count := func(kind string) (n int) {
		for _, s := range p.Streams {
			if s.Type == kind {
				n++
			}
		}
		return n
	}
	sound := 0
	if w.besides.copied {
		sound = w.besides.audio
	}
	if count("audio") != sound || count("subtitle") != w.besides.subtitle {
		return fmt.Errorf("of %d and %d streams, %d and %d can be read back", sound, w.besides.subtitle, count("audio"), count("subtitle"))
	}
	return nil
}

// reopen gives the source to another child, as it is even where its name is gone.
func (e *besides) reopen() (*os.File, error) {
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", e.source.Fd()))
	if err != nil {
		return nil, fileError(e.source.Name(), ErrUnreadable, "%v", rootCause(err))
	}
	return f, nil
}

func (e *besides) close() {
	if e.source != nil {
		_ = e.source.Close()
	}
}

// mapping chooses the streams of the source, which is the given input.
func (e *besides) mapping(input int) []string {
	var args []string
	if e.copied {
		args = append(args, "-map", fmt.Sprintf("%d:a", input))
	}
	if e.subtitles {
		args = append(args, "-map", fmt.Sprintf("%d:s", input))
	}
	return args
}

// soundFilter leaves out what sound plays before zero, such as the priming of an encoder: to keep it, some containers would show
// everything later.
func (p Plan) soundFilter() []string {
	if p.container.signed {
		return nil
	}
	return []string{"-bsf:a", `noise=drop=lt(pts\,0)`}
}

// muxArgs make ffmpeg read the joined segments from its stdin and the besides from the source, on descriptor 3, and write the output
// to path.
func (w *Writer) muxArgs(path string) []string {
	p, e := w.plan, &w.besides
	args := append(slices.Clone(quietly), "-y", "-copyts",
		"-protocol_whitelist", "pipe", "-itsoffset", strconv.Itoa(-lead), "-f", "mov", "-i", "pipe:0")
	streams := []string{"-map", "0:v:0"}
	silence := "1" // the input that comes after the source, where there is one: the source's sound must not pass for it
	if e.source != nil {
		silence = "2"
	}
	chapters := []string{"-map_chapters", "-1"}
	if e.source != nil {
		args = append(args, inputArgs(w.plan.info.limits)...)
		args = append(args, "-itsoffset", inSeconds(-timeOf(w.origin, w.plan.info.TimeBase)), "-i", inputURL)
		streams = append(streams, e.mapping(1)...)
		if e.chapters {
			chapters = []string{"-map_chapters", "1"} // with their titles
		}
	}
	if e.silent > 0 {
		first := timeOf(w.planned(w.first), p.timeBase)
		length := timeOf(w.planned(w.times.last)+1, p.timeBase) - first + timeOf(framePeriod(w.plan.info), w.plan.info.TimeBase)
		args = append(args, "-itsoffset", inSeconds(first), "-t", inSeconds(length), "-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo")
	}
	for range e.silent {
		streams = append(streams, "-map", silence+":a")
	}
	args = append(args, streams...)
	args = append(args, p.soundFilter()...)
	args = append(args, "-c", "copy")
	if e.silent > 0 {
		args = append(args, "-c:a", p.container.silence)
	}
	args = append(args, "-map_metadata:g", "-1", "-map_metadata:s", "-1", "-fflags", "+bitexact", "-flags", "+bitexact")
	args = append(args, chapters...)
	for _, tag := range e.tags {
		args = append(args, "-metadata", tag)
	}
	args = append(args, colourArgs(w.plan.info)...)
	args = append(args, "-bsf:v", p.muxFilters())
	if p.container.args != nil {
		args = append(args, p.container.args(p)...)
	}
	return append(args, "-f", p.container.muxer, "file:"+path)
}

func inSeconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

// muxFilters have decoding times grow over the seams of segments, and give each packet a duration, which the encoder does not know.
// Containers keep only the last one's, which is part of the video's length: what is left until the source's end where that is known,
// on the decoding clock too, by which the MOV family counts, or else the mean. The MOV family takes no longer one than 2^31 - 1 units.
func (p Plan) muxFilters() string {
	info := p.info
	times := `setts=pts=PTS:dts=if(N\,max(DTS\,PREV_OUTDTS+1)\,DTS)`
	if duration := meanDuration(info); duration != "" {
		if info.end > 0 && !p.container.fromZero {
			end := fmt.Sprintf("round(%d*%d/%d/TB)", info.end, info.TimeBase.Num, info.TimeBase.Den)
			duration = fmt.Sprintf(`clip(min(%s-PTS\,%s-STARTPTS-DTS+STARTDTS)\,1\,%d)`, end, end, math.MaxInt32)
		}
		times += ":duration=" + duration
	}
	if p.container.muxer == "avi" && p.codec.name == "h264" {
		times += ",h264_mp4toannexb"
	}
	return times
}

// meanDuration is the time from one frame to the next for the filter setts, "" if unknown.
func meanDuration(info Info) string {
	if info.FrameRate.Num <= 0 {
		return ""
	}
	return fmt.Sprintf("round(%d/%d/TB)", info.FrameRate.Den, info.FrameRate.Num)
}

// mux joins the segments to the output.
func (w *Writer) mux(ctx context.Context) error {
	if err := reserve(w.temp); err != nil {
		return err
	}
	var s streams
	stdinEnd, stdin, err := os.Pipe()
	if err != nil {
		return fileError(w.temp, ErrTool, "%v", err)
	}
	defer func() { _ = stdin.Close() }()
	s.stdin = stdinEnd
	if w.besides.source != nil {
		source, err := w.besides.reopen()
		if err != nil {
			s.close()
			return err
		}
		s.extra = []*os.File{source}
	}
	muxer, err := start(ctx, w.tools.FFmpeg, w.muxArgs(w.temp), s, w.plan.info.limits.writing(), nil)
	if err != nil {
		return fileError(w.temp, ErrTool, "%v", err)
	}
	joined := w.join(patient{stdin, w.plan.options.Stall})
	_ = stdin.Close()
	if joined != nil && !errors.Is(joined, syscall.EPIPE) {
		muxer.kill()
	}
	err = muxer.waitWhile(w.temp, w.plan.options.Stall)
	text, _ := muxer.complaints()
	switch {
	case context.Cause(ctx) != nil:
		return fileError(w.temp, context.Cause(ctx), "")
	case errors.As(err, new(overLimit)):
		return fileError(w.temp, ErrLimit, "%v, joining its segments", err)
	case errors.Is(err, ErrStalled), errors.Is(joined, os.ErrDeadlineExceeded):
		return fileError(w.temp, ErrStalled, "its segments do not join: nothing was read or written for %s", w.plan.options.Stall)
	case joined != nil && !errors.Is(joined, syscall.EPIPE):
		return joined
	case err != nil:
		return fileError(w.temp, encodeCause(text), "its segments do not join: %s", describe(text, err))
	case encodeCause(text) != ErrTool: // ffmpeg may end well after it could not write
		return fileError(w.temp, encodeCause(text), "its segments do not join: %s", tidy(text))
	}
	return joined // complaints about the source's sound are about what it always was; what is missing of the pictures, verify sees
}

// join writes the segments one after the other: the first whole, and of the others their fragments alone, since what comes before
// them says the same.
func (w *Writer) join(to io.Writer) error {
	var first []byte
	for n := range w.segments {
		path := w.segmentPath(n)
		f, err := os.Open(path)
		if err != nil {
			return fileError(path, ErrUnreadable, "%v", rootCause(err))
		}
		head, err := appendSegment(to, f, n == 0)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("%q: %w: %w", path, ErrTool, err)
		}
		said := description(head)
		if n == 0 {
			first = said
		} else if !bytes.Equal(first, said) {
			return fileError(path, ErrTool, "the encoder described it otherwise than the first segment")
		}
	}
	return nil
}

// description is what the boxes before a segment's fragments say of the video as a whole: all but sdtp, which ffmpeg adds, empty, where
// the first fragment holds a frame that no other needs.
func description(boxes []byte) (said []byte) {
	for len(boxes) >= 8 {
		size, kind := int(binary.BigEndian.Uint32(boxes)), string(boxes[4:8])
		if size < 8 || size > len(boxes) { // of no kind that ffmpeg writes here: it is compared as it is
			break
		}
		switch kind {
		case "moov", "trak", "mdia", "minf", "stbl", "mvex": // boxes of boxes, whose sizes differ with an sdtp
			said = append(append(said, kind...), description(boxes[8:size])...)
		case "sdtp":
		default:
			said = append(said, boxes[:size]...)
		}
		boxes = boxes[size:]
	}
	return append(said, boxes...)
}

// patient writes to a pipe as long as its reader takes something within a time.
type patient struct {
	pipe  *os.File
	stall time.Duration
}

func (p patient) Write(b []byte) (int, error) {
	_ = p.pipe.SetWriteDeadline(time.Now().Add(p.stall))
	return p.pipe.Write(b)
}

// maxHead is more than the boxes before a segment's fragments take.
const maxHead = 1 << 20

// appendSegment copies a segment's fragments, and returns the boxes that come before them, which it copies too if they are asked for.
func appendSegment(to io.Writer, segment io.Reader, withHead bool) (head []byte, err error) {
	put := func(r io.Reader, n int64) error {
		_, err := io.CopyN(to, r, n)
		return err
	}
	for {
		var box [8]byte
		if _, err := io.ReadFull(segment, box[:]); err == io.EOF {
			return head, nil
		} else if err != nil {
			return nil, err
		}
		size, kind, start := int64(binary.BigEndian.Uint32(box[:])), string(box[4:]), box[:]
		if size == 1 {
			var long [8]byte
			if _, err := io.ReadFull(segment, long[:]); err != nil {
				return nil, err
			}
			size, start = int64(binary.BigEndian.Uint64(long[:])), append(box[:], long[:]...)
		}
		rest := size - int64(len(start))
		if rest < 0 {
			return nil, fmt.Errorf("box %q of %d bytes", kind, size)
		}
		switch kind {
		case "ftyp", "moov":
			if int64(len(head))+size > maxHead {
				return nil, fmt.Errorf("box %q of %d bytes", kind, size)
			}
			body := make([]byte, rest)
			if _, err := io.ReadFull(segment, body); err != nil {
				return nil, err
			}
			head = append(append(head, start...), body...)
			if withHead {
				if err := put(bytes.NewReader(append(start, body...)), size); err != nil {
					return nil, err
				}
			}
		case "moof", "mdat":
			if err := put(bytes.NewReader(start), int64(len(start))); err != nil {
				return nil, err
			}
			if err := put(segment, rest); err != nil {
				return nil, err
			}
		default:
			if _, err := io.CopyN(io.Discard, segment, rest); err != nil {
				return nil, err
			}
		}
	}
}
