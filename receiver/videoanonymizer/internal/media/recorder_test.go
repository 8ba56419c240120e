// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dhav wraps the frames of a raw H.264 stream as Dahua's recorders do (libavformat/dhav.c): a header of 24 bytes with
// the date, its extension, the frame, and its length.
func dhav(stream []byte) (file []byte) {
	const date = 26<<26 | 11<<22 | 28<<17 | 11<<12
	n, start := uint32(0), 0
	for i := 0; i+4 <= len(stream); i++ {
		last := i+4 == len(stream)
		kind := stream[i+3] & 31
		if !last && (stream[i] != 0 || stream[i+1] != 0 || stream[i+2] != 1 || kind != 1 && kind != 5) {
			continue
		}
		// A frame ends where the next start code is.
		end := len(stream)
		if j := strings.Index(string(stream[i+3:]), "\x00\x00\x01"); j >= 0 && !last {
			end = i + 3 + j
		}
		if last && start == len(stream) {
			break
		}
		frame := stream[start:end]
		extension := []byte{0x80, 0, 128 / 8, 96 / 8, 0x81, 0, 2, 25}
		size := uint32(24 + len(extension) + len(frame) + 8)
		file = append(file, 'D', 'H', 'A', 'V', 0xfc, 0, 0, 0)
		if kind == 5 {
			file[len(file)-4] = 0xfd
		}
		file = binary.LittleEndian.AppendUint32(file, n)
		file = binary.LittleEndian.AppendUint32(file, size)
		file = binary.LittleEndian.AppendUint32(file, date+n/25)
		file = binary.LittleEndian.AppendUint16(file, uint16(n*40))
		file = append(file, byte(len(extension)), 0)
		file = append(append(append(file, extension...), frame...), "dhav"...)
		file = binary.LittleEndian.AppendUint32(file, size)
		n, start = n+1, end
	}
	return file
}

// TestRecorderFormats checks that formats of cameras and recorders without a common container are read.
func TestRecorderFormats(t *testing.T) {
	movie := "-f lavfi -i testsrc2=s=128x96:r=25:d=1 "
	for name, in := range map[string]string{
		"jpeg images": clip(t, "a.mjpg", movie+"-c:v mjpeg -f mjpeg"),
		"dahua recorder": func() string {
			raw, err := os.ReadFile(clip(t, "a.264", movie+quick+"-bf 0 -f h264"))
			require.NoError(t, err)
			return written(t, "a.dav", dhav(raw))
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.mp4")
			pts, err := transcode(t.Context(), testTools(t), in, out, ReadOptions{}, WriteOptions{}, nil)
			require.NoError(t, err)
			assert.Len(t, pts, 25)
			info, err := testTools(t).Probe(t.Context(), out, Limits{})
			require.NoError(t, err)
			assert.Less(t, info.begin.Hours(), 1.0, "the date of the recording is not in the output")
			c, err := testTools(t).Compare(t.Context(), in, out)
			require.NoError(t, err)
			assert.Empty(t, c.Changed())
		})
	}
}

// TestMultipartIsRefused checks that multipart JPEG is refused with the right cause and a remedy.
func TestMultipartIsRefused(t *testing.T) {
	in := clip(t, "a.mjpeg", "-f lavfi -i testsrc2=s=128x96:d=1 -c:v mjpeg -f mpjpeg")
	_, err := testTools(t).Probe(t.Context(), in, Limits{})
	require.ErrorIs(t, err, ErrUnsupported)
	assert.ErrorContains(t, err, "convert it")
}

// TestPhotosAreNotVideos checks that an image is not a video, not even with a few others in its file.
func TestPhotosAreNotVideos(t *testing.T) {
	for _, frames := range []string{"1", "3"} {
		in := clip(t, "a.jpg", "-f lavfi -i testsrc2=s=128x96 -frames:v "+frames+" -c:v mjpeg -f mjpeg")
		_, err := testTools(t).Probe(t.Context(), in, Limits{})
		require.ErrorIs(t, err, ErrNotVideo)
		assert.ErrorContains(t, err, "a still image")
	}
}
