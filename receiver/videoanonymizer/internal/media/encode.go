// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// lead is added to all times in segments, in seconds: a day, so that decoding times, which precede presentation times,
// never become negative, however long the first frames are shown.
const lead = 24 * 60 * 60

// finest bounds the time base of segments for containers that round times more coarsely anyway, since MP4 stores the
// time between two frames in 32 bits.
const finest = 1_000_000

// segmentTimeBase returns the time base of segments: the plan's as a unit fraction of a second, as MP4 requires.
func (p Plan) segmentTimeBase() Rational {
	if p.container.coarse {
		return Rational{1, min(p.timeBase.Den, finest)}
	}
	return Rational{1, p.timeBase.Den}
}

// encodeArgs make ffmpeg read frames in an IVF wrapper from its stdin and write a segment: the video stream as
// it will be in the output, in fragments of MP4 (of MOV for ffv1), which keeps presentation and decoding times exactly.
// Fragments of several segments can be concatenated in one file.
func (p Plan) encodeArgs() []string {
	unit := p.segmentTimeBase()
	pixelFormat, _ := p.pixelFormat()
	args := append(slices.Clone(quietArgs), "-y", "-copyts",
		// The wrapper's header contains all that ffmpeg would look for in the first frames.
		"-protocol_whitelist", "pipe", "-probesize", "32", "-analyzeduration", "0", "-fpsprobesize", "0",
		"-c:v", "rawvideo", "-f", "ivf", "-i", "pipe:0",
		"-map", "0:v:0", "-map_metadata", "-1", "-map_chapters", "-1",
		"-fflags", "+bitexact", "-flags:v", p.encoderFlags(),
		"-fps_mode", "passthrough", "-enc_time_base", fmt.Sprintf("%d:%d", unit.Num, unit.Den),
		"-filter:v", p.encodeFilter(), "-pix_fmt", pixelFormat,
		"-threads", strconv.Itoa(p.options.Threads), "-c:v", p.encoder.name)
	args = append(args, colorArgs(p.info)...)
	args = append(args, p.encoderArgs()...)
	args = append(args, p.container.encode...)
	if filters := p.encodeBitstreamFilters(); filters != "" {
		args = append(args, "-bsf:v", filters)
	}
	return append(args, "-movflags", "+frag_keyframe+delay_moov+default_base_moof+frag_discont", "-use_editlist", "0",
		"-avoid_negative_ts", "disabled", "-video_track_timescale", strconv.FormatInt(unit.Den, 10),
		"-f", cmp.Or(p.codec.segmentMuxer, "mp4"), outputURL)
}

// encodeBitstreamFilters remove the encoder's settings, and give the last packet a duration, from which the mean rate
// is computed later.
func (p Plan) encodeBitstreamFilters() string {
	var filters []string
	if p.encoder.filters != "" {
		filters = append(filters, p.encoder.filters)
	}
	if duration := meanDuration(p.info, "TB"); duration != "" {
		filters = append(filters, "setts=pts=PTS:dts=DTS:duration="+duration)
	}
	return strings.Join(filters, ",")
}

func (p Plan) encoderFlags() string {
	if p.encoder.name == "libx264" && fieldMode(p.info) != "" {
		return "+bitexact+ildct+ilme"
	}
	return "+bitexact"
}

// encodeFilter tags the frames with what the pipe does not carry.
func (p Plan) encodeFilter() string {
	info := p.info
	colorRange := cmp.Or(info.ColorRange, "unknown")
	if info.FullRange {
		colorRange = "pc"
	}
	tags := []string{"range=" + colorRange}
	add := func(key, value string) {
		if value != "" {
			tags = append(tags, key+"="+value)
		}
	}
	add("color_primaries", info.ColorPrimaries)
	add("color_trc", info.ColorTransfer)
	add("colorspace", info.ColorMatrix)
	add("field_mode", fieldMode(info))
	filter := fmt.Sprintf("setparams=%s,setsar=%d/%d", strings.Join(tags, ":"), info.SAR.Num, info.SAR.Den)
	name, upload := p.pixelFormat()
	if name != info.Format.Name {
		filter += ",scale=" + strings.TrimPrefix(rangeArgs(info), ":")
		if fieldMode(info) != "" && info.Format.ChromaShiftY != p.format.ChromaShiftY {
			filter += ":interl=1" // or the chroma of the two fields would mix
		}
	}
	if upload != "" {
		filter += "," + upload
	}
	return filter
}

// fieldMode is the filter setparams' name for the field that interlaced video shows first, "" for progressive video.
func fieldMode(info Info) string {
	switch info.FieldOrder {
	case "tt", "bt":
		return "tff"
	case "bb", "tb":
		return "bff"
	}
	return ""
}

func colorArgs(info Info) []string {
	var args []string
	for _, a := range [][2]string{
		{"-color_range", info.ColorRange}, {"-color_primaries", info.ColorPrimaries},
		{"-color_trc", info.ColorTransfer}, {"-colorspace", info.ColorMatrix},
		{"-chroma_sample_location", info.ChromaLocation},
	} {
		if a[1] != "" {
			args = append(args, a[0], a[1])
		}
	}
	return args
}

// An IVF file is a header followed by frames, each with its own header. All numbers are little-endian
// (libavformat/ivfdec.c). The lengths are in bytes.
const (
	ivfFileHeader  = 32
	ivfFrameHeader = 12
)

func ivfHeader(info Info, unit Rational) []byte {
	h := make([]byte, 0, ivfFileHeader)
	h = append(h, "DKIF"...)
	h = binary.LittleEndian.AppendUint16(h, 0)
	h = binary.LittleEndian.AppendUint16(h, ivfFileHeader)
	h = append(h, formats[info.Format.Name].fourCC...)
	h = binary.LittleEndian.AppendUint16(h, uint16(info.Width))
	h = binary.LittleEndian.AppendUint16(h, uint16(info.Height))
	h = binary.LittleEndian.AppendUint32(h, uint32(unit.Den))
	h = binary.LittleEndian.AppendUint32(h, uint32(unit.Num))
	return append(h, make([]byte, 8)...)
}

func putFrameHeader(b []byte, size int, pts int64) {
	binary.LittleEndian.PutUint32(b, uint32(size))
	binary.LittleEndian.PutUint64(b[4:], uint64(pts))
}
