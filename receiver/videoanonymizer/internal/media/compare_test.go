// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	comparedSource = "-f lavfi -i testsrc2=s=160x128:r=25:d=1 "
	ultrafast      = "-c:v libx264 -preset ultrafast -crf 15 -fflags +bitexact -flags:v +bitexact "
)

// TestCompare makes outputs with ffmpeg alone, and checks which rows are not the same.
func TestCompare(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes many outputs")
	}
	tools := testTools(t)
	dir := t.TempDir()
	encode := func(name, args string) string {
		path := filepath.Join(dir, name)
		ffmpeg(t, strings.Fields("-y "+args), path)
		return path
	}
	plain := encode("plain.mkv", comparedSource+ultrafast)
	exact := encode("exact.mkv", "-i "+plain+" -c:v ffv1 -fflags +bitexact -flags:v +bitexact")
	subtitles := filepath.Join(dir, "a.srt")
	require.NoError(t, os.WriteFile(subtitles, []byte("1\n00:00:00,000 --> 00:00:01,000\nJane Doe\n"), 0o600))
	chapters := filepath.Join(dir, "a.txt")
	require.NoError(t, os.WriteFile(chapters,
		[]byte(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=Ward 3\n"), 0o600))
	personal := encode("personal.mkv", "-i "+plain+" -f lavfi -i sine=d=1 -i "+subtitles+" -i "+chapters+
		" -map 0:v -map 1:a -map 2:s -map_chapters 3 -metadata title=Jane -c:v copy -c:a pcm_s16le -c:s srt")
	rotated := encode("rotated.mp4",
		"-i "+encode("unrotated.mp4", "-i "+plain+" -c copy")+" -c copy -metadata:s:v:0 rotate=90")
	cut := filepath.Join(dir, "cut.mkv")
	whole, err := os.ReadFile(plain)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cut, whole[:len(whole)*2/3], 0o600))

	for _, tc := range []struct {
		name           string
		source, output string
		differs        map[string]Verdict // all rows except those that are the same and the expected losses
		says           string             // in the output column of some row
	}{
		{name: "itself", source: plain, output: plain},
		{name: "lossless", source: plain, output: exact, differs: map[string]Verdict{"codec": Expected},
			says: "identical"},
		{name: "lossy", source: plain, output: encode("lossy.mp4", "-i "+plain+" "+ultrafast+"-crf 28"),
			differs: map[string]Verdict{"container": Expected}, says: "PSNR"},
		{name: "masked", source: plain,
			output:  encode("masked.mkv", "-i "+plain+" -vf drawbox=40:32:32:32:black:fill "+ultrafast+"-crf 28"),
			differs: map[string]Verdict{"masks": Expected}, says: "in 25 of 25 frames"},
		{name: "masked and lossless", source: plain,
			output: encode("masked_exact.mkv",
				"-i "+plain+" -vf drawbox=41:30:33:33:black:fill -c:v ffv1 -fflags +bitexact -flags:v +bitexact"),
			differs: map[string]Verdict{"masks": Expected, "codec": Expected}, says: "identical"},
		{name: "a shade darker, lossless", source: plain,
			output: encode("darker.mkv",
				"-i "+plain+" -vf lutyuv=y=val-1 -c:v ffv1 -fflags +bitexact -flags:v +bitexact"),
			differs: map[string]Verdict{"codec": Expected, "luma outside of masks": Differs,
				"chroma outside of masks": Same}},
		{name: "shifted", source: plain,
			output:  encode("shifted.mkv", "-i "+plain+" "+ultrafast+"-output_ts_offset 0.48"),
			differs: map[string]Verdict{"times of frames": Differs}, says: "all shifted by +0.480000 s"},
		{name: "avi begins at zero", source: encode("late.mkv", "-i "+plain+" -c copy -output_ts_offset 0.48"),
			output:  encode("from_zero.avi", "-i "+plain+" "+ultrafast+"-bf 0"),
			differs: map[string]Verdict{"container": Expected, "times of frames": Expected}},
		{name: "a frame is dropped", source: plain,
			output:  encode("dropped.mkv", "-i "+plain+" -vf select='not(eq(n\\,7))' -fps_mode vfr "+ultrafast),
			differs: map[string]Verdict{"frames": Differs, "times of frames": Differs, "mean frame rate": Differs},
			says:    "first difference: frame 7, shown at 0.280000 s, is missing"},
		{name: "a frame is late", source: plain,
			output: encode("later.mkv",
				"-i "+plain+" -vf setpts='if(eq(N,9),PTS+0.01/TB,PTS)' -fps_mode passthrough -enc_time_base 1:1000 "+
					ultrafast+"-bf 0"),
			differs: map[string]Verdict{"times of frames": Differs},
			says:    "frame 9 is shown at 0.370000 s instead of 0.360000 s"},
		{name: "other colors", source: plain,
			output: encode("colors.mkv",
				"-i "+plain+" "+ultrafast+"-colorspace bt709 -color_trc bt709 -color_primaries bt709 -color_range tv"),
			differs: map[string]Verdict{"colour matrix": Differs, "colour transfer": Differs,
				"colour primaries": Differs, "colour range": Same}},
		{name: "another pixel aspect ratio", source: plain,
			output:  encode("wide.mkv", "-i "+plain+" -vf setsar=4/3 "+ultrafast),
			differs: map[string]Verdict{"sample aspect ratio": Differs}},
		{name: "another size", source: plain, output: encode("small.mkv", "-i "+plain+" -vf scale=80:64 "+ultrafast),
			differs: map[string]Verdict{"displayed size": Differs, "pixels": Differs, "chroma location": Same,
				"sample aspect ratio": Same}},
		{name: "another format", source: plain, output: encode("444.mkv", "-i "+plain+" -pix_fmt yuv444p "+ultrafast),
			differs: map[string]Verdict{"pixel format": Differs}},
		{name: "deeper than the encoder supports",
			source:  encode("12.mkv", comparedSource+"-pix_fmt yuv420p12le -c:v ffv1"),
			output:  encode("10.mkv", "-i "+filepath.Join(dir, "12.mkv")+" -pix_fmt yuv420p10le "+ultrafast),
			differs: map[string]Verdict{"pixel format": Expected, "codec": Expected, "tags": Same}},
		{name: "audio and the rest dropped", source: personal, output: plain,
			differs: map[string]Verdict{"sound": Dropped, "subtitles": Dropped, "chapters": Dropped, "tags": Dropped}},
		{name: "audio and the rest kept", source: personal, output: personal,
			differs: map[string]Verdict{"sound": Kept, "subtitles": Kept, "chapters": Kept,
				"tags": Kept}, says: `title=Jane`},
		{name: "rotated", source: rotated, output: encode("upright.mp4", "-i "+rotated+" "+ultrafast),
			differs: map[string]Verdict{"rotation": Expected}},
		{name: "damaged source", source: cut,
			output:  encode("salvaged.mkv", "-err_detect ignore_err -i "+cut+" "+ultrafast),
			differs: map[string]Verdict{"damage": Expected}},
		{name: "damaged output", source: plain, output: cut,
			differs: map[string]Verdict{"damage": Differs, "frames": Differs, "times of frames": Differs,
				"duration": Differs}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := tools.Compare(t.Context(), tc.source, tc.output)
			require.NoError(t, err)
			said := tc.says == ""
			for _, r := range c.Rows {
				said = said || strings.Contains(r.Output, tc.says)
				want, listed := tc.differs[r.What]
				switch {
				case listed && want != Same:
					assert.Equal(t, want, r.Verdict, "%s: %q, %q", r.What, r.Source, r.Output)
				case listed: // either
				case strings.HasSuffix(r.What, "outside of masks"):
					assert.NotEqual(t, Differs, r.Verdict, "%s: %q", r.What, r.Output)
				default:
					assert.Equal(t, Same, r.Verdict, "%s: %q, %q", r.What, r.Source, r.Output)
				}
			}
			assert.True(t, said, "no row says %q: %v", tc.says, c.Rows)
		})
	}
}

func TestCompareFindsMasks(t *testing.T) {
	tools := testTools(t)
	for _, codec := range []string{"ffv1", "h264", "vp9"} {
		t.Run(codec, func(t *testing.T) {
			in := clip(t, "a.mkv", comparedSource+ultrafast)
			out := filepath.Join(t.TempDir(), "b.mkv")
			_, err := transcode(t.Context(), tools, in, out, ReadOptions{}, WriteOptions{Codec: codec}, func(f *Frame) {
				if f.Index == 12 { // 64 x 64 of 160 x 128
					for y := range 64 {
						clear(f.Planes[0].Data[(y+32)*f.Width+32:][:64])
					}
				}
			})
			require.NoError(t, err)
			c, err := tools.Compare(t.Context(), in, out)
			require.NoError(t, err)
			assert.Empty(t, c.Changed())
			p := c.Pixels
			assert.Equal(t, 25, p.Compared)
			assert.Equal(t, 1, p.Masked)
			assert.InDelta(t, 0.2, p.LargestShare, 0.03)
			assert.Equal(t, "480ms", p.LargestAt.String())
			if codec == "ffv1" {
				assert.Equal(t, 25, p.Identical)
			}
		})
	}
}

func TestCompareHDR(t *testing.T) {
	tools := testTools(t)
	in := clip(t, "a.mkv",
		comparedSource+"-pix_fmt yuv420p10le -color_range tv -colorspace bt2020nc -color_trc smpte2084 "+
			"-color_primaries bt2020 "+
			"-c:v libx265 -preset ultrafast -x265-params log-level=error:max-cll=1000,400:"+
			"master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)")
	for codec, verdict := range map[string]Verdict{"same": Same, "h264": Expected} {
		out := filepath.Join(t.TempDir(), "b.mkv")
		_, err := transcode(t.Context(), tools, in, out, ReadOptions{},
			WriteOptions{Codec: codec, PixelFormat: SameAsSource}, nil)
		require.NoError(t, err)
		c, err := tools.Compare(t.Context(), in, out)
		require.NoError(t, err)
		assert.Empty(t, c.Changed())
		row := slices.IndexFunc(c.Rows, func(r Row) bool { return r.What == "HDR metadata" })
		require.GreaterOrEqual(t, row, 0)
		assert.Contains(t, c.Rows[row].Source, "Mastering display metadata")
		assert.Contains(t, c.Rows[row].Source, "max_content 1000")
		assert.Equal(t, verdict, c.Rows[row].Verdict, "%s: %q", codec, c.Rows[row].Output)
	}
}

// TestCompareAlpha checks that losing alpha is expected if the codec cannot keep it.
func TestCompareAlpha(t *testing.T) {
	tools := testTools(t)
	in := clip(t, "a.mkv", "-f lavfi -i testsrc2=s=64x48:r=25:d=0.4,format=yuva420p -c:v ffv1")
	for codec, verdict := range map[string]Verdict{"ffv1": Same, "h264": Expected} {
		out := filepath.Join(t.TempDir(), "b.mkv")
		_, err := transcode(t.Context(), tools, in, out, ReadOptions{}, WriteOptions{Codec: codec}, nil)
		require.NoError(t, err)
		c, err := tools.Compare(t.Context(), in, out)
		require.NoError(t, err)
		row := slices.IndexFunc(c.Rows, func(r Row) bool { return r.What == "pixel format" })
		require.GreaterOrEqual(t, row, 0)
		assert.Equal(t, verdict, c.Rows[row].Verdict, codec)
	}
}

func TestCompareNotVideo(t *testing.T) {
	tools := testTools(t)
	in := clip(t, "a.mkv", comparedSource+ultrafast)
	text := filepath.Join(t.TempDir(), "a.mkv")
	require.NoError(t, os.WriteFile(text, []byte("not a video"), 0o600))
	_, err := tools.Compare(t.Context(), in, text)
	assert.ErrorIs(t, err, ErrNotVideo)
	_, err = tools.Compare(t.Context(), filepath.Join(t.TempDir(), "none.mkv"), in)
	assert.ErrorIs(t, err, ErrVanished)
}

func TestPlainEscapesControlCharacters(t *testing.T) {
	assert.Equal(t, `a\x1b[2Jb\n`, plain("a\x1b[2Jb\n"))
	assert.Equal(t, strings.Repeat("ä", 60)+"...", plain(strings.Repeat("ä", 61)))
}

func TestChangedExceptAccepted(t *testing.T) {
	c := Comparison{Rows: []Row{{What: "frames", Verdict: Same}, {What: "sound", Verdict: Kept},
		{What: "codec", Verdict: Expected}, {What: "duration", Verdict: Differs}}}
	assert.Len(t, c.Changed(), 2)
	assert.Equal(t, "duration", c.Changed("sound")[0].What)
	assert.Empty(t, c.Changed("sound", "duration"))
}
