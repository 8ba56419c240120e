// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// probed is ffprobe's answer to probeEntries.
type probed struct {
	Streams []probedStream `json:"streams"`
	Format  struct {
		Name     string `json:"format_name"`
		Start    string `json:"start_time"`
		Duration string `json:"duration"`
		Streams  int    `json:"nb_streams"`
	} `json:"format"`
	Programs []struct {
		Streams []struct {
			Index int `json:"index"`
		} `json:"streams"`
	} `json:"programs"`
}

// sameProgram reports whether every program has both of two streams, or neither.
func (p *probed) sameProgram(a, b int) bool {
	for _, program := range p.Programs {
		has := map[int]bool{}
		for _, s := range program.Streams {
			has[s.Index] = true
		}
		if has[a] != has[b] {
			return false
		}
	}
	return true
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
	Packets     string `json:"nb_read_packets"`
	Disposition struct {
		Default     int `json:"default"`
		AttachedPic int `json:"attached_pic"`
	} `json:"disposition"`
	SideData []probedSideData  `json:"side_data_list"`
	Tags     map[string]string `json:"tags"`

	kind StreamKind // of a video stream
}

// indexed returns the number of frames that the container's index states, 0 if unknown.
func (s *probedStream) indexed() int64 {
	frames, _ := strconv.ParseInt(s.Frames, 10, 64)
	return frames
}

// statedDuration returns the duration in seconds, or in the format of Matroska's tags; "" if unknown.
func (s *probedStream) statedDuration() string {
	return cmp.Or(s.Duration, s.Tags["DURATION"], s.Tags["DURATION-eng"])
}

const probeEntries = "stream=index,codec_type,codec_name,width,height,pix_fmt,sample_aspect_ratio,time_base," +
	"avg_frame_rate,r_frame_rate,start_pts,duration_ts,duration,nb_frames,color_range,color_primaries,color_transfer," +
	"color_space,chroma_location,field_order,side_data_list:" +
	"stream_disposition=default,attached_pic:stream_side_data=rotation," +
	hdrEntries + ":stream_tags=DURATION,DURATION-eng:program=program_id:program_stream=index:" +
	"format=format_name,start_time,duration,nb_streams"

// info converts ffprobe's answer, in which the kinds of the video streams must be set.
func (p probed) info(path string, limits Limits) (Info, error) {
	info := Info{Path: path, Container: p.Format.Name, limits: limits}
	s := info.setStreams(p.Streams)
	if info.VideoStreams > 1 && s == nil {
		return info, fileError(path, ErrSeveralStreams, "more than one of its streams is a separate video (%s): "+
			"split it into one file per video, for example with ffmpeg -i FILE -map 0:INDEX -c copy",
			describeStreams(info.Streams))
	}
	if s == nil {
		return Info{}, fileError(path, ErrNoVideoStream, "%d audio and %d other streams",
			info.AudioStreams, info.SubtitleStreams+info.OtherStreams)
	}
	if !slices.Contains(decodedCodecs, s.Codec) {
		return Info{}, fileError(path, ErrUnsupported, "video codec %q", cmp.Or(s.Codec, "unknown"))
	}
	if s.Width < 1 || s.Height < 1 || s.PixFmt == "" {
		return Info{}, fileError(path, ErrDamaged, "its headers have no frame size or pixel format")
	}
	format, err := readFormat(s.Codec, s.PixFmt)
	if err != nil {
		return Info{}, fileError(path, ErrUnsupported, "pixel format %q", s.PixFmt)
	}
	info.Codec, info.StreamIndex, info.SourceFormat, info.Format = s.Codec, s.Index, s.PixFmt, format
	info.setGeometry(s)
	info.setColors(s)
	info.setLight(s.SideData)
	if info.TimeBase = rational(s.TimeBase); info.TimeBase.Num <= 0 {
		return Info{}, fileError(path, ErrDamaged, "time base %q", s.TimeBase)
	}
	info.begin = signedDuration(p.Format.Start)
	info.setTimes(s, p.Format.Duration)
	return info, nil
}

// setStreams counts and lists the streams, and returns the video stream that is read: nil if there is none, or more
// than one.
func (i *Info) setStreams(streams []probedStream) (chosen *probedStream) {
	var videos []*probedStream
	for n := range streams {
		s := &streams[n]
		switch {
		case s.kind == StreamVideo:
			videos = append(videos, s)
			i.VideoStreams++
		case s.kind == StreamStill, s.kind == StreamPreview:
			i.VideoStreams++
		case s.Type == "audio":
			i.AudioStreams++
		case s.Type == "subtitle":
			i.SubtitleStreams++
		default:
			i.OtherStreams++
		}
	}
	if len(videos) == 1 {
		chosen = videos[0]
	}
	for n := range streams {
		s := &streams[n]
		if s.kind != "" {
			i.Streams = append(i.Streams, VideoStream{
				Index: s.Index, Codec: cmp.Or(s.Codec, "unknown"), Width: s.Width, Height: s.Height, Kind: s.kind,
				Taken: s == chosen,
			})
		}
		if s != chosen && s.Codec != "" && (chosen == nil || s.Codec != chosen.Codec) {
			i.otherCodecs = append(i.otherCodecs, s.Codec)
		}
	}
	if len(i.Streams) == 1 {
		i.Streams = nil
	}
	return chosen
}

// setGeometry sets size, aspect ratio and rotation.
func (i *Info) setGeometry(s *probedStream) {
	i.Width, i.Height, i.SAR = s.Width, s.Height, rational(s.SAR)
	for _, d := range s.SideData {
		if d.Rotation != 0 && !math.IsNaN(d.Rotation) {
			i.Rotation = (360 - int(math.Round(d.Rotation))%360) % 360
		}
	}
	if i.Rotation%180 == 90 {
		i.Width, i.Height = i.Height, i.Width
		i.SAR.Num, i.SAR.Den = i.SAR.Den, i.SAR.Num
	}
	if i.SAR.Num <= 0 || i.SAR.Den <= 0 {
		i.SAR = Rational{0, 1}
	}
}

func (i *Info) setColors(s *probedStream) {
	i.ColorRange, i.ColorPrimaries = known(s.Range), known(s.Primaries)
	i.ColorTransfer, i.ColorMatrix = known(s.Transfer), known(s.Matrix)
	i.ChromaLocation, i.FieldOrder = known(s.ChromaLoc), known(s.Fields)
	if strings.HasPrefix(s.PixFmt, "yuvj") {
		i.ColorRange = "pc"
	}
	if isRGB(s.PixFmt) { // what Open asks the scaler for
		i.ColorRange, i.ColorMatrix = "tv", "bt709"
	}
	i.FullRange = i.ColorRange == "pc"
}

// setTimes sets rate, duration and number of frames.
func (i *Info) setTimes(s *probedStream, fileDuration string) {
	if i.FrameRate = rational(s.AvgRate); i.FrameRate.Num <= 0 {
		i.FrameRate = rational(s.RealRate)
	}
	own := s.statedDuration()
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

// leastFrame returns the smallest possible size in bytes of a frame in containers whose clock wraps, 0 for others: a
// packet in transport streams, a header in program streams.
func (i *Info) leastFrame() int64 {
	switch i.Container {
	case "mpegts":
		return 188
	case "mpeg":
		return 16
	}
	return 0
}

var tag = regexp.MustCompile(`^[a-z0-9-]+$`)

// known returns a tag that ffprobe prints, "" if it means unknown. Only plain words pass, since tags become arguments.
func known(s string) string {
	if s == "unknown" || s == "unspecified" || s == "reserved" || !tag.MatchString(s) {
		return ""
	}
	return s
}

// rational parses "a/b" or "a:b"; it returns 0/1 if the text is neither.
func rational(s string) Rational {
	num, den, ok := strings.Cut(strings.Replace(s, ":", "/", 1), "/")
	n, err1 := strconv.ParseInt(num, 10, 64)
	d, err2 := strconv.ParseInt(den, 10, 64)
	if !ok || err1 != nil || err2 != nil || n < 0 || d <= 0 || n > math.MaxInt32 || d > math.MaxInt32 {
		return Rational{0, 1}
	}
	return Rational{n, d}
}

// signedDuration parses seconds, which may be negative; it returns 0 if the text is not a number.
func signedDuration(s string) time.Duration {
	if rest, negative := strings.CutPrefix(s, "-"); negative {
		return -duration(rest)
	}
	return duration(s)
}

// duration parses seconds, or hours:minutes:seconds as in Matroska's tags; it returns 0 if the text is neither.
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
