// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzProbeAnswer parses any bytes as ffprobe's answer. An accepted answer must be within the limits, and values that
// become part of a filter must be numbers or plain words.
func FuzzProbeAnswer(f *testing.F) {
	f.Add([]byte(`{"streams":[{"index":0,"codec_name":"h264","codec_type":"video","width":64,"height":48,` +
		`"pix_fmt":"yuv420p","sample_aspect_ratio":"1:1","time_base":"1/12800","avg_frame_rate":"25/1","start_pts":0,` +
		`"duration_ts":12800,"duration":"1.0","nb_frames":"25","color_primaries":"bt709","side_data_list":` +
		`[{"rotation":-90}],"disposition":{"default":1},"tags":{"DURATION":"00:00:01.0"}},{"codec_type":"audio"}],` +
		`"format":{"format_name":"mov,mp4,m4a,3gp,3g2,mj2","start_time":"-0.02","duration":"1.0","nb_streams":2}}`))
	f.Add([]byte(`{"streams":[{"codec_name":"vp9","codec_type":"video","width":1,"height":1,"pix_fmt":"yuv420p10le",` +
		`"time_base":"1/1","color_space":"bt709,movie=/etc/passwd","color_transfer":"smpte2084","side_data_list":` +
		`[{"max_luminance":"10000000/10000","min_luminance":"1/0","red_x":"a/b","max_content":-1}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var p probed
		if json.Unmarshal(text, &p) != nil {
			return
		}
		for i := range p.Streams {
			if p.Streams[i].Type == "video" {
				p.Streams[i].kind = StreamVideo
			}
		}
		limits := DefaultLimits()
		info, err := p.info("/in/a.mp4", limits)
		if err != nil || limits.check(info) != nil {
			return
		}
		require.Positive(t, info.Width)
		require.Positive(t, info.Height)
		require.LessOrEqual(t, int64(info.Width)*int64(info.Height), limits.MaxPixels)
		require.True(t, info.Rotation >= 0 && info.Rotation < 360)
		require.Positive(t, info.TimeBase.Num)
		require.Positive(t, info.TimeBase.Den)
		require.False(t, math.IsNaN(info.FrameRate.Float()))
		args := decodeArgs(info, ReadOptions{})
		for _, container := range Containers() {
			for _, codec := range Codecs() {
				plan, err := NewPlan(info, WriteOptions{Container: container, Codec: codec})
				if err != nil {
					continue
				}
				args = append(args, plan.encodeArgs()...)
				args = append(args, (&Writer{plan: plan}).muxArgs()...)
			}
		}
		for _, arg := range args {
			require.NotContains(t, arg, "movie=", "what a file says becomes no filter")
			require.NotContains(t, arg, "\x00")
			require.True(t, utf8.ValidString(arg), "%q", arg)
		}
	})
}

// FuzzTimeCheck parses any bytes as ffprobe's list of packets, which must pass only with the times that were written.
func FuzzTimeCheck(f *testing.F) {
	times := []byte{0, 0, 0, 40, 0, 80}
	f.Add([]byte("0,0,10\n40,40,10\n80,80,10\n"), times, false)
	f.Add([]byte("N/A,0,10\n5,N/A,0\n80,0,10\n"), times, true)
	f.Add([]byte("-9223372036854775808,0,1\n9223372036854775807,0,1\n"), []byte{0xff, 0xff, 0x7f, 0xff}, true)
	f.Fuzz(func(t *testing.T, lines, written []byte, late bool) {
		var log timeLog
		var packets int
		for len(written) >= 2 && packets < 1000 {
			log.add(int64(int16(binary.BigEndian.Uint16(written))))
			written, packets = written[2:], packets+1
		}
		c := timeCheck{want: log.reader(), planned: func(pts int64) int64 { return pts },
			from: Rational{1, 1000}, to: Rational{1, 1000}, late: late}
		if c.read(bytes.NewReader(lines)) == nil {
			require.EqualValues(t, packets, c.n, "each frame has its packet")
		}
	})
}

// FuzzFaults classifies any bytes as a decoder's complaint.
func FuzzFaults(f *testing.F) {
	f.Add("[h264 @ 0x55] [error] error while decoding MB 1 2, bytestream -5", "mov,mp4", uint(3), false)
	f.Add("[mpegts @ 0x55] [warning] Packet corrupt (stream = 0, dts = 5).\n[error] no frame!", "mpegts", uint(0), true)
	f.Add("[error] forged\r\n[x] [y] [fatal] \xff", "matroska,webm", uint(1), false)
	f.Fuzz(func(t *testing.T, text, container string, frames uint, device bool) {
		info := Info{Container: container, otherCodecs: []string{"aac"}}
		opts := ReadOptions{}
		if device {
			opts.Decoder = CUDA
		}
		faults := newFaults(info, opts)
		for i, line := range strings.Split(text, "\n") {
			if uint(i) == frames%8 {
				faults.sawFrame()
			}
			faults.add([]byte(line))
		}
		faults.endLoss(int64(frames % 1000))
		said, cause := faults.failure()
		for _, text := range []string{faults.text(), faults.lossText(), said} {
			assert.True(t, utf8.ValidString(text), "%q", text)
		}
		assert.Equal(t, said != "", cause != nil)
	})
}
