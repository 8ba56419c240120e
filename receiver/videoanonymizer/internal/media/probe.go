// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Info is what a video is, as far as its headers tell.
type Info struct {
	// Path is the absolute path that was probed.
	Path string
	// Size is the file's length in bytes.
	Size int64
	// Container is ffmpeg's name of the demuxer, for example "mov,mp4,m4a,3gp,3g2,mj2" or "matroska,webm".
	Container string
	// Codec is ffmpeg's name of the video codec, for example h264, hevc, vp9.
	Codec string
	// StreamIndex is the place of the video stream among all streams.
	StreamIndex int
	// SourceFormat is ffmpeg's name of the pixel format as coded; Format is the one that frames are handed out in.
	SourceFormat string
	Format       PixelFormat
	// Width and Height are as displayed, after Rotation, in pixels.
	Width, Height int
	// SAR is the sample aspect ratio as displayed; 0/1 where the file does not say.
	SAR Rational
	// Rotation is how far frames are turned clockwise for display, in degrees 0 to 359. Frames come out turned already.
	Rotation int
	// TimeBase is the unit of PTS in seconds.
	TimeBase Rational
	// FrameRate is the mean rate in frames a second, 0/1 if unknown; the true times are the frames' PTS.
	FrameRate Rational
	// Duration is the video stream's, or the file's where the stream has none; 0 if unknown.
	Duration time.Duration
	// EstimatedFrames is from the index or from Duration times FrameRate; 0 if unknown. For progress only.
	EstimatedFrames int64
	// FullRange tells that luma goes from 0 to the largest value. The colour tags are ffmpeg's names, "" if unknown.
	FullRange                                              bool
	ColorRange, ColorPrimaries, ColorTransfer, ColorMatrix string
	// Mastering and Light are HDR10's, zero where the file does not say.
	Mastering MasteringDisplay
	Light     ContentLight
	// ChromaLocation is ffmpeg's, for example left, center or topleft, "" if unknown.
	ChromaLocation string
	// FieldOrder is ffmpeg's: "progressive", "tt", "bb", "tb", "bt", or "" if unknown.
	FieldOrder string
	// VideoStreams, AudioStreams, SubtitleStreams and OtherStreams count the streams; only one video stream is read.
	VideoStreams, AudioStreams, SubtitleStreams, OtherStreams int

	indexedFrames int64         // from the container's index, 0 if it has none
	ownDuration   bool          // Duration is the video stream's
	begin         time.Duration // of the file: of whichever stream begins first
	end           int64         // the PTS at which the last frame goes, 0 if unknown
	otherCodecs   []string      // of the streams that are not read
	limits        Limits
	id            fileID
}

// TimeOf is a PTS in units of the time base as a duration since the stream's zero.
func (i Info) TimeOf(pts int64) time.Duration { return timeOf(pts, i.TimeBase) }

// demuxers are the containers that are read: real media files that cannot lead to another file. Playlists (hls, dash,
// concat, sdp), image sequences and devices are not among them. Names as in ffmpeg's libavformat.
var demuxers = []string{"mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "ivf", "h264", "hevc", "m4v",
	"mpegvideo", "mjpeg", "yuv4mpegpipe", "nut", "mxf", "gif", "dv", "obu", "wtv"}

// decodedCodecs are the video codecs that are decoded, by ffmpeg's names: those of cameras, editors and archives.
var decodedCodecs = []string{"h264", "hevc", "vp8", "vp9", "av1", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg", "mjpegb",
	"ffv1", "prores", "dnxhd", "h261", "h263", "h263p", "flv1", "vp6", "vp6f", "theora", "dvvideo", "gif", "rawvideo",
	"huffyuv", "ffvhuff", "utvideo", "magicyuv", "qtrle", "png", "cinepak", "svq1", "svq3", "cfhd", "jpeg2000", "vc1",
	"wmv1", "wmv2", "wmv3", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "msvideo1", "msrle", "dirac", "v210"}

// probed is the part of ffprobe's JSON that is asked for.
type probed struct {
	Streams []probedStream `json:"streams"`
	Format  struct {
		Name     string `json:"format_name"`
		Start    string `json:"start_time"`
		Duration string `json:"duration"`
		Streams  int    `json:"nb_streams"`
	} `json:"format"`
}

type probedStream struct {
	Index       int    `json:"index"`
	Type        string `json:"codec_type"`
	Codec       string `json:"codec_name"`
	Width       int    `json:"width"`
	Height      int    `json:"height"`
	PixFmt      string `json:"pix_fmt"`
	SAR         string `json:"sample_aspect_ratio"`
	TimeBase    string `json:"time_base"`
	AvgRate     string `json:"avg_frame_rate"`
	RealRate    string `json:"r_frame_rate"`
	Start       *int64 `json:"start_pts"`
	Ticks       int64  `json:"duration_ts"`
	Duration    string `json:"duration"`
	Frames      string `json:"nb_frames"`
	Range       string `json:"color_range"`
	Primaries   string `json:"color_primaries"`
	Transfer    string `json:"color_transfer"`
	Matrix      string `json:"color_space"`
	ChromaLoc   string `json:"chroma_location"`
	Fields      string `json:"field_order"`
	Disposition struct {
		AttachedPic int `json:"attached_pic"`
	} `json:"disposition"`
	SideData []probedSideData  `json:"side_data_list"`
	Tags     map[string]string `json:"tags"`
}

const probeEntries = "stream=index,codec_type,codec_name,width,height,pix_fmt,sample_aspect_ratio,time_base,avg_frame_rate," +
	"r_frame_rate,start_pts,duration_ts,duration,nb_frames,color_range,color_primaries,color_transfer,color_space,chroma_location,field_order," +
	"side_data_list:stream_disposition=attached_pic:stream_side_data=rotation," + hdrEntries + ":stream_tags=DURATION,DURATION-eng:" +
	"format=format_name,start_time,duration,nb_streams"

// inputArgs let a child read the file on descriptor 3 and nothing else. They stand right before its -i.
func inputArgs(limits Limits) []string {
	return []string{
		"-protocol_whitelist", "file,pipe",
		"-format_whitelist", strings.Join(demuxers, ","),
		"-max_pixels", strconv.FormatInt(limits.MaxPixels, 10),
		"-max_streams", strconv.Itoa(limits.MaxStreams),
	}
}

// Probe reads the headers of the video at path. It fails with one of the causes ErrNotVideo, ErrUnreadable, ErrVanished,
// ErrNoVideoStream, ErrDamaged, ErrUnsupported, ErrLimit, ErrStalled, ErrTool, or the context's error.
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
	p, err := t.probe(ctx, path, f, limits)
	if err != nil {
		return Info{}, err
	}
	info, err := p.info(path, limits)
	if err != nil {
		return Info{}, err
	}
	info.id, info.Size = id, id.size
	if err := limits.check(info); err != nil {
		return info, err
	}
	if info.ColorTransfer == perceptual && (info.Mastering == (MasteringDisplay{}) || info.Light == (ContentLight{})) {
		err = t.firstLight(ctx, &info)
	}
	return info, err
}

// probe asks for all that Info tells of an open file, which it closes.
func (t Tools) probe(ctx context.Context, path string, f *os.File, limits Limits) (p probed, err error) {
	err = t.ask(ctx, path, f, limits, &p, "-show_entries", probeEntries)
	return p, err
}

// ask has ffprobe answer a question on an open file, which it closes, in the shape of answer.
func (t Tools) ask(ctx context.Context, path string, f *os.File, limits Limits, answer any, question ...string) error {
	timed, cancel := context.WithTimeoutCause(ctx, limits.ProbeTimeout, ErrStalled)
	defer cancel()
	args := append([]string{"-hide_banner", "-loglevel", "repeat+level+error"}, inputArgs(limits)...)
	args = append(append(args, question...), "-of", "json", "-i", inputURL)
	var complaint string
	out, err := output(timed, t.FFprobe, args, f, limits.reading(), &complaint)
	switch {
	case ctx.Err() != nil:
		return fileError(path, context.Cause(ctx), "")
	case errors.Is(err, ErrStalled):
		return fileError(path, ErrStalled, "reading its headers took more than %s", limits.ProbeTimeout)
	case strings.Contains(complaint, "Format not on whitelist"):
		return fileError(path, ErrNotVideo, "its format is not one of those that are read")
	case err != nil:
		return fileError(path, openCause(complaint, err), "%s", describe(complaint, err))
	case strings.Contains(complaint, "Picture size"): // the decoder refused to make room for a frame
		return fileError(path, ErrLimit, "%s", tidy(complaint))
	}
	if err := json.Unmarshal(out, answer); err != nil {
		return fileError(path, ErrTool, "ffprobe's answer: %v", err)
	}
	return nil
}

// describe turns a child's complaints into a sentence about a file.
func describe(complaint string, err error) string {
	if complaint == "" {
		return err.Error()
	}
	return tidy(complaint)
}

var logNoise = regexp.MustCompile(`(\[[\w, ]+ @ 0x[0-9a-f]+\] )|(\[(error|fatal|warning)\] )|(` + regexp.QuoteMeta(inputURL) + `: )`)

// tidy drops from a child's lines what tells a reader nothing: addresses, levels, the descriptor's name.
func tidy(complaint string) string { return logNoise.ReplaceAllString(complaint, "") }

// openCause sorts what ffmpeg says about a file that it cannot open.
func openCause(complaint string, err error) error {
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(complaint, p) })
	}
	switch {
	case errors.As(err, new(overLimit)):
		return ErrLimit
	case crashed(err):
		return ErrTool
	case has("Input/output error", "Permission denied"):
		return ErrUnreadable
	case has("max_streams"):
		return ErrLimit
	// A known container that does not hold what it should.
	case has("moov atom not found", "error reading header", "EBML header parsing failed", "End of file", "unspecified size"):
		return ErrDamaged
	case has("Invalid data found", "not on whitelist"):
		return ErrNotVideo
	case complaint == "" && errors.Is(err, syscall.ENOENT):
		return ErrTool
	default:
		return ErrNotVideo
	}
}

// info sorts what ffprobe said.
func (p probed) info(path string, limits Limits) (Info, error) {
	info := Info{Path: path, Container: p.Format.Name, limits: limits}
	if p.Format.Streams > limits.MaxStreams {
		return Info{}, fileError(path, ErrLimit, "%d streams, at most %d are read", p.Format.Streams, limits.MaxStreams)
	}
	var s *probedStream
	for i := range p.Streams {
		st := &p.Streams[i]
		video := st.Type == "video" && st.Disposition.AttachedPic == 0
		switch {
		case video:
			info.VideoStreams++
		case st.Type == "audio":
			info.AudioStreams++
		case st.Type == "subtitle":
			info.SubtitleStreams++
		default:
			info.OtherStreams++
		}
		if video && s == nil {
			s = st
		} else if st.Codec != "" {
			info.otherCodecs = append(info.otherCodecs, st.Codec)
		}
	}
	if s == nil {
		return Info{}, fileError(path, ErrNoVideoStream, "%d audio and %d other streams", info.AudioStreams, info.SubtitleStreams+info.OtherStreams)
	}
	info.otherCodecs = slices.DeleteFunc(info.otherCodecs, func(c string) bool { return c == s.Codec })
	if !slices.Contains(decodedCodecs, s.Codec) {
		return Info{}, fileError(path, ErrUnsupported, "video codec %q", cmp.Or(s.Codec, "unknown"))
	}
	if s.Width < 1 || s.Height < 1 || s.PixFmt == "" {
		return Info{}, fileError(path, ErrDamaged, "its headers give no picture size or format")
	}
	format, err := handedOut(s.Codec, s.PixFmt)
	if err != nil {
		return Info{}, fileError(path, ErrUnsupported, "pixel format %q", s.PixFmt)
	}
	info.Codec, info.StreamIndex, info.SourceFormat, info.Format = s.Codec, s.Index, s.PixFmt, format
	info.Width, info.Height, info.SAR = s.Width, s.Height, rational(s.SAR)
	info.TimeBase, info.FrameRate = rational(s.TimeBase), rational(s.AvgRate)
	if info.FrameRate.Num <= 0 {
		info.FrameRate = rational(s.RealRate)
	}
	if info.TimeBase.Num <= 0 {
		return Info{}, fileError(path, ErrDamaged, "time base %q", s.TimeBase)
	}
	for _, d := range s.SideData {
		if d.Rotation != 0 && !math.IsNaN(d.Rotation) {
			info.Rotation = (360 - int(math.Round(d.Rotation))%360) % 360
		}
	}
	if info.Rotation%180 == 90 {
		info.Width, info.Height = info.Height, info.Width
		info.SAR.Num, info.SAR.Den = info.SAR.Den, info.SAR.Num
	}
	if info.SAR.Num <= 0 || info.SAR.Den <= 0 {
		info.SAR = Rational{0, 1}
	}
	info.colours(s)
	info.begin = signedDuration(p.Format.Start)
	info.light(s.SideData)
	info.times(s, p.Format.Duration)
	return info, nil
}

func (i *Info) colours(s *probedStream) {
	i.ColorRange, i.ColorPrimaries, i.ColorTransfer, i.ColorMatrix = known(s.Range), known(s.Primaries), known(s.Transfer), known(s.Matrix)
	i.ChromaLocation, i.FieldOrder = known(s.ChromaLoc), known(s.Fields)
	if strings.HasPrefix(s.PixFmt, "yuvj") {
		i.ColorRange = "pc"
	}
	if isRGB(s.PixFmt) { // what Open asks the scaler for
		i.ColorRange, i.ColorMatrix = "tv", "bt709"
	}
	i.FullRange = i.ColorRange == "pc"
}

func (i *Info) times(s *probedStream, fileDuration string) {
	own := cmp.Or(s.Duration, s.Tags["DURATION"], s.Tags["DURATION-eng"])
	i.Duration, i.ownDuration = duration(own), duration(own) > 0
	if !i.ownDuration {
		i.Duration = duration(fileDuration)
	}
	switch {
	case strings.HasPrefix(i.Container, "mov") && s.Start != nil && *s.Start >= 0 && s.Ticks > 0:
		i.end = *s.Start + s.Ticks
	case strings.HasPrefix(i.Container, "matroska") && i.ownDuration:
		i.end = rescale(int64(i.Duration), nanosecond, i.TimeBase)
	}
	i.indexedFrames, _ = strconv.ParseInt(s.Frames, 10, 64)
	i.EstimatedFrames = i.indexedFrames
	if i.EstimatedFrames <= 0 {
		i.EstimatedFrames = int64(math.Round(i.Duration.Seconds() * i.FrameRate.Float()))
	}
}

var tag = regexp.MustCompile(`^[a-z0-9-]+$`)

// known returns a tag that ffprobe prints, or "" if it says nothing. Only plain words pass: they become arguments.
func known(s string) string {
	if s == "unknown" || s == "unspecified" || s == "reserved" || !tag.MatchString(s) {
		return ""
	}
	return s
}

// rational reads "a/b" or "a:b"; 0/1 if it is none.
func rational(s string) Rational {
	num, den, ok := strings.Cut(strings.Replace(s, ":", "/", 1), "/")
	n, err1 := strconv.ParseInt(num, 10, 64)
	d, err2 := strconv.ParseInt(den, 10, 64)
	if !ok || err1 != nil || err2 != nil || n < 0 || d <= 0 || n > math.MaxInt32 || d > math.MaxInt32 {
		return Rational{0, 1}
	}
	return Rational{n, d}
}

// signedDuration reads seconds, which may lie before zero; 0 if it is none.
func signedDuration(s string) time.Duration {
	if rest, negative := strings.CutPrefix(s, "-"); negative {
		return -duration(rest)
	}
	return duration(s)
}

// duration reads seconds, or hours:minutes:seconds as Matroska's tags have it; 0 if it is neither.
func duration(s string) time.Duration {
	var seconds float64
	for _, part := range strings.Split(s, ":") {
		f, err := strconv.ParseFloat(part, 64)
		if err != nil || f < 0 {
			return 0
		}
		seconds = seconds*60 + f
	}
	if !(seconds < math.MaxInt64/float64(time.Second)) {
		return math.MaxInt64
	}
	return time.Duration(seconds * float64(time.Second))
}
