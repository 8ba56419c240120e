// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Info describes a video, as far as its headers do.
type Info struct {
	// Path is the absolute path that was probed.
	Path string
	// Size is the file's length in bytes.
	Size int64
	// Container is ffmpeg's name for the demuxer, for example "mov,mp4,m4a,3gp,3g2,mj2" or "matroska,webm".
	Container string
	// Codec is ffmpeg's name for the video codec, for example h264, hevc, vp9.
	Codec string
	// StreamIndex is the index of the video stream among all streams.
	StreamIndex int
	// SourceFormat is ffmpeg's name for the pixel format as coded; Format is the one in which frames are read.
	SourceFormat string
	Format       PixelFormat
	// Width and Height are as displayed, after Rotation, in pixels.
	Width, Height int
	// SAR is the sample aspect ratio as displayed; 0/1 if unknown.
	SAR Rational
	// Rotation is how far frames are rotated clockwise for display, in degrees 0 to 359. Frames are read rotated.
	Rotation int
	// TimeBase is the unit of PTS in seconds.
	TimeBase Rational
	// FrameRate is the mean rate in frames per second, 0/1 if unknown; the actual times are the frames' PTS.
	FrameRate Rational
	// Duration is the video stream's, or the file's if the stream has none; 0 if unknown.
	Duration time.Duration
	// EstimatedFrames comes from the index, or is Duration times FrameRate; 0 if unknown.
	EstimatedFrames int64
	// FullRange means that luma ranges from 0 to the largest value. The color tags are ffmpeg's names, "" if unknown.
	FullRange                                              bool
	ColorRange, ColorPrimaries, ColorTransfer, ColorMatrix string
	// Mastering and Light are the HDR10 metadata, zero if unknown.
	Mastering MasteringDisplay
	Light     ContentLight
	// ChromaLocation is ffmpeg's name, for example left, center or topleft, "" if unknown.
	ChromaLocation string
	// FieldOrder is ffmpeg's name: "progressive", "tt", "bb", "tb", "bt", or "" if unknown.
	FieldOrder string
	// VideoStreams, AudioStreams, SubtitleStreams and OtherStreams count the streams; only one video stream is read.
	VideoStreams, AudioStreams, SubtitleStreams, OtherStreams int
	// Streams lists the video streams, including covers, if there is more than one.
	Streams []VideoStream

	indexedFrames int64         // from the container's index, 0 if it has none
	ownDuration   bool          // Duration is the video stream's
	begin         time.Duration // start of the file's earliest stream
	end           int64         // PTS at which the last frame stops being shown, 0 if unknown
	otherCodecs   []string      // of the streams that are not read
	limits        Limits
	id            fileID
	held          *os.File // see Hold
}

// wallClock reports whether the times are dates: recorders count from 1970.
func (i Info) wallClock() bool { return i.Container == "dhav" }

// TimeOf converts a PTS in units of the time base to a duration since the stream's zero.
func (i Info) TimeOf(pts int64) time.Duration { return timeOf(pts, i.TimeBase) }

// demuxers are the containers that can be read: actual media files, which cannot refer to another file. Playlists (hls,
// dash, concat, sdp), image sequences and devices are not among them. The names are those of ffmpeg's libavformat.
var demuxers = []string{"mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "ivf", "h264", "hevc", "m4v",
	"mpegvideo", "mjpeg", "jpeg_pipe", "yuv4mpegpipe", "nut", "mxf", "gif", "dv", "obu", "wtv", "dhav"}

// leastImages is the smallest number of JPEG images that counts as a camera's video: a photo may come with a few
// others, such as its depth, its preview, or the other eye's.
const leastImages = 5

// decodedCodecs are the video codecs that are decoded, by ffmpeg's names: those of cameras, editors and archives.
var decodedCodecs = []string{"h264", "hevc", "vp8", "vp9", "av1", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg",
	"mjpegb", "ffv1", "prores", "dnxhd", "h261", "h263", "h263p", "flv1", "vp6", "vp6f", "theora", "dvvideo", "gif",
	"rawvideo", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "qtrle", "png", "cinepak", "svq1", "svq3", "cfhd",
	"jpeg2000", "vc1", "wmv1", "wmv2", "wmv3", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "msvideo1", "msrle", "dirac",
	"v210"}

// inputArgs let a child read the file on descriptor 3 and nothing else. They must come right before its -i.
func inputArgs(limits Limits) []string {
	return []string{
		"-protocol_whitelist", "file,pipe",
		"-format_whitelist", strings.Join(demuxers, ","),
		"-max_pixels", strconv.FormatInt(limits.MaxPixels, 10),
		"-max_streams", strconv.Itoa(limits.MaxStreams),
	}
}

// Probe reads the headers of the video at path. It fails with one of the causes ErrNotVideo, ErrUnreadable, ErrIO,
// ErrVanished, ErrNoVideoStream, ErrSeveralStreams, ErrDamaged, ErrUnsupported, ErrLimit, ErrStalled, ErrInterrupted,
// ErrTool, or the context's error. With ErrSeveralStreams the Info has Path, Container and Streams.
func (t Tools) Probe(ctx context.Context, path string, limits Limits) (Info, error) {
	limits = limits.withDefaults()
	path, err := filepath.Abs(path)
	if err != nil {
		return Info{}, fileError(path, ErrUnreadable, "%v", err)
	}
	f, id, err := openSource(path)
	if err != nil {
		return Info{}, err
	}
	var p probed
	if err := t.ask(ctx, path, f, limits, &p, "-show_entries", probeEntries); err != nil {
		return Info{}, err
	}
	if p.Format.Streams > limits.MaxStreams {
		return Info{}, fileError(path, ErrLimit, "%d streams, but at most %d are allowed", p.Format.Streams,
			limits.MaxStreams)
	}
	if p.Format.Name == "jpeg_pipe" {
		if err := t.checkSeries(ctx, Info{Path: path, limits: limits, id: id}); err != nil {
			return Info{}, err
		}
	}
	known := Info{Path: path, Container: p.Format.Name, limits: limits, id: id}
	if err := t.chooseVideo(ctx, known, &p); err != nil {
		return Info{}, err
	}
	info, err := p.info(path, limits)
	if err != nil {
		return info, err
	}
	info.id, info.Size = id, id.size
	if bytes := info.leastFrame(); bytes > 0 { // the duration may contain a gap of a day, which is not shown
		info.EstimatedFrames = min(info.EstimatedFrames, max(1, info.Size/bytes))
	}
	if err := limits.check(info); err != nil {
		return info, err
	}
	if info.ColorTransfer == pqTransfer && (info.Mastering == (MasteringDisplay{}) || info.Light == (ContentLight{})) {
		err = t.probeFirstFrame(ctx, &info)
	}
	return info, err
}

// checkSeries refuses a JPEG image that is not part of a series.
func (t Tools) checkSeries(ctx context.Context, info Info) error {
	f, err := info.openAgain()
	if err != nil {
		return err
	}
	var p probed
	if err := t.ask(ctx, info.Path, f, info.limits, &p, "-read_intervals", "%+#"+strconv.Itoa(leastImages),
		"-count_packets", "-show_entries", "stream=nb_read_packets"); err != nil {
		return err
	}
	for _, s := range p.Streams {
		if n, _ := strconv.Atoi(s.Packets); n >= leastImages {
			return nil
		}
	}
	return fileError(info.Path, ErrNotVideo, "a still image")
}

// ask queries ffprobe about an open file, which it closes, and decodes the JSON answer into answer.
func (t Tools) ask(ctx context.Context, path string, f *os.File, limits Limits, answer any, question ...string) error {
	timed, cancel := context.WithTimeoutCause(ctx, limits.ProbeTimeout, ErrStalled)
	defer cancel()
	args := append([]string{"-hide_banner", "-loglevel", "repeat+level+error"}, inputArgs(limits)...)
	args = append(append(args, question...), "-of", "json", "-i", inputURL)
	var complaint string
	out, err := t.output(timed, t.FFprobe, args, streams{source: f}, limits.reading(), &complaint)
	switch {
	case ctx.Err() != nil:
		return fileError(path, context.Cause(ctx), "")
	case errors.Is(err, ErrStalled):
		return fileError(path, ErrStalled, "reading its headers took more than %s", limits.ProbeTimeout)
	case strings.Contains(complaint, "[mpjpeg @"): // its end cannot be distinguished from damage
		return fileError(path, ErrUnsupported, "multipart JPEG as a camera serves it: convert it, for example with "+
			"ffmpeg -f mjpeg -i FILE -c copy FILE.avi")
	case strings.Contains(complaint, "Format not on whitelist"):
		return fileError(path, ErrNotVideo, "its format is not one that can be read")
	case err != nil:
		return fileError(path, openCause(complaint, err), "%s", describe(complaint, err))
	case strings.Contains(complaint, "Picture size"): // the decoder refused to allocate a frame
		return fileError(path, ErrLimit, "%s", tidy(complaint))
	}
	if err := json.Unmarshal(out, answer); err != nil {
		return fileError(path, ErrTool, "ffprobe's answer: %v", err)
	}
	return nil
}

// describe returns what a child complained about, or else how it ended.
func describe(complaint string, err error) string {
	if complaint == "" {
		return err.Error()
	}
	return tidy(complaint)
}

var logNoise = regexp.MustCompile(`(\[[\w, ]+ @ 0x[0-9a-f]+\] )|(\[(error|fatal|warning)\] )|(` +
	`(file:)?/proc/self/fd/[34]: )`)

// tidy removes from a child's lines what is of no use to a reader: addresses, levels, the descriptor's name.
func tidy(complaint string) string { return logNoise.ReplaceAllString(complaint, "") }

// openCause classifies what ffmpeg says about a file that it cannot open.
func openCause(complaint string, err error) error {
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(complaint, p) })
	}
	switch {
	case errors.As(err, new(overLimit)), has("max_streams"):
		return ErrLimit
	case passingFault(complaint, err) != nil:
		return passingFault(complaint, err)
	case has("Input/output error"):
		return ErrIO
	// A known container that lacks something it needs.
	case has("moov atom not found", "error reading header", "EBML header parsing failed", "End of file",
		"unspecified size"):
		return ErrDamaged
	case has("Invalid data found", "not on whitelist"):
		return ErrNotVideo
	case has("Not yet implemented in FFmpeg", "Decoder not found"):
		return ErrUnsupported
	default: // the file's content does not prove it, so it is tried again
		return ErrTool
	}
}
