// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package report shows a reviewer how an anonymized video was produced and where to check it first: an audit report
// (JSON, see report.schema.json), a contact sheet of the weakest moments, and a preview that shows all detections. They
// show only anonymized frames.
//
//	recorder, err := report.NewRecorder(temp)
//	err = recorder.Add(record) // for each frame, in order
//	err = recorder.Write(path, about)
//	err = report.WriteSheet(ctx, tools, output, path, recorder.Weakest(), options)
package report

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Schema identifies the format of a report. Keys may be added without a new version: readers must ignore unknown keys.
const Schema = "otelcol-anonymizer/report/v1"

// Path returns the path of the report on an output.
func Path(output string) string { return output + ".report.json" }

// SheetPath returns the path of the contact sheet of an output.
func SheetPath(output string) string { return output + ".review.jpg" }

// About is everything in a report except the frames.
type About struct {
	Program Program `json:"program"`
	Source  File    `json:"source"`
	// VideoStreams are the video streams of a source that has several.
	VideoStreams []media.VideoStream `json:"source_video_streams,omitempty"`
	// Repairs counts the timestamps of the source that did not increase, nil if all did.
	Repairs  *media.Repairs `json:"source_times,omitempty"`
	Output   File           `json:"output"`
	Models   []Model        `json:"models"`
	Settings Settings       `json:"settings"`
	// Salvage is nil if the output contains all of the source.
	Salvage *Salvage `json:"salvage,omitempty"`
	// SecondPass is nil if the output was produced in the first pass.
	SecondPass *SecondPass `json:"second_pass,omitempty"`
	// Picture is nil if the source is a video.
	Picture *StillPicture `json:"picture,omitempty"`
	// Revision is nil if the output contains no corrections.
	Revision *Revision `json:"revision,omitempty"`
	// Encoding is how the output was encoded. It is nil in older reports.
	Encoding *Encoding `json:"encoding,omitempty"`
	// Segments are the parts of the output that were encoded independently, as half-open ranges of frames.
	Segments [][2]int `json:"segments,omitempty"`
}

// StillPicture describes a source that is a still picture. Its report has one frame and no Encoding.
type StillPicture struct {
	Format string `json:"format"`
	// Width and Height are in pixels, as displayed.
	Width  int `json:"width"`
	Height int `json:"height"`
	// LeftOut describes the pictures and films in the source file that are not in the output.
	LeftOut []string `json:"left_out,omitempty"`
}

// Encoding is how an output was encoded. Its values are those of the configuration keys (media.WriteOptions).
type Encoding struct {
	Container   string   `json:"container"`
	Codec       string   `json:"codec"`
	PixelFormat string   `json:"pixel_format"`
	Quality     *int     `json:"quality,omitempty"`
	Preset      string   `json:"preset"`
	Encoder     string   `json:"encoder"`
	Audio       string   `json:"audio"`
	Keep        []string `json:"keep,omitempty"`
}

// Revision describes the corrections in an output.
type Revision struct {
	// ID is r2 for the first output with corrections.
	ID string `json:"id"`
	// Base is the output that was corrected, BaseReport the SHA-256 of its report.
	Base       File   `json:"base"`
	BaseReport string `json:"base_report_sha256"`
	// First is the SHA-256 of the output that the pipeline produced.
	First string `json:"first_output_sha256"`
	// Samples is a digest of samples of the output, which detects a changed output quickly.
	Samples string `json:"samples"`
	// Operations is the number of operations of the edits that the output contains.
	Operations int `json:"operations"`
	// From is the source of the pixels: FromSource or FromOutput.
	From string `json:"from"`
	// Encoded is the number of frames that were encoded again. All others were copied from Base.
	Encoded int `json:"frames_encoded"`
}

// Values of Revision.From.
const (
	FromSource = "source"
	FromOutput = "output"
)

// Reasons for a second pass.
const (
	// SampleShowsPeople means that a thorough search of a sample of the frames found someone.
	SampleShowsPeople = "sample_shows_people"
	// SampleFailed means that the sample could not be searched.
	SampleFailed = "sample_failed"
)

// SecondPass means that the first pass found nobody, but a sample of the frames did not confirm that, so the video was
// processed again from the beginning, with recall: thorough.
type SecondPass struct {
	Reason string `json:"reason"`
	// Frame and Time (seconds from the first frame) identify the frame of the sample that was searched last.
	Frame int     `json:"frame"`
	Time  float64 `json:"time_s"`
	// FirstFrames is the number of frames that the first pass wrote.
	FirstFrames int `json:"first_frames"`
}

// Salvage means that parts of the source did not decode and are missing from the output.
type Salvage struct {
	// Damage is ffmpeg's description of what did not decode.
	Damage string `json:"damage"`
	// SourceKept means that the source was kept for this reason (output::on_salvage).
	SourceKept bool `json:"source_kept"`
}

// Program is the program that produced the output.
type Program struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// File identifies a file.
type File struct {
	// Name is the name of the file without its directory.
	Name string `json:"name"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// SHA256 is the digest of the whole file, in hex.
	SHA256 string `json:"sha256"`
}

// Model is a model that was used.
type Model struct {
	// Key is the configuration key, such as detector::model.
	Key string `json:"key"`
	// Name is the name in the catalog, or that of the file.
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	// Served describes the model on the servers that ran it, if any: one entry per distinct version and answer.
	Served []Served `json:"served,omitempty"`
}

// Served describes a model on an inference server.
type Served struct {
	// Version is the version of the model on the server, empty if the server has none.
	Version string `json:"version"`
	// Answer is the SHA-256 of the server's answer to a known tensor, in hex. The answer was compared with the answer of
	// the model file.
	Answer string `json:"answer_sha256"`
}

// Settings are the effective settings that decide what is masked. Thresholds are confidences, 0 to 1.
type Settings struct {
	// Profile is the name of the profile that included the source, empty for none.
	Profile            string  `json:"profile,omitempty"`
	Recall             string  `json:"recall"`
	DetectEvery        int     `json:"detect_every"`
	LookAhead          float64 `json:"look_ahead_s"`
	ScoreThreshold     float64 `json:"detector_score_threshold"`
	BlurredThreshold   float64 `json:"detector_blurred_threshold"`
	CandidateThreshold float64 `json:"detector_candidate_threshold"`
	FaceThreshold      float64 `json:"detector_face_threshold"`
	OverlapThreshold   float64 `json:"detector_overlap_threshold"`
	Tiles              int     `json:"detector_tiles"`
	MinPersonSize      int     `json:"detector_min_person_size"`
	// Survey reports whether there are surveys, SurveyInterval is the time between them, and SurveyTurned reports whether
	// they include turned views.
	Survey         bool    `json:"detector_survey"`
	SurveyInterval float64 `json:"detector_survey_interval_s"`
	SurveyTurned   bool    `json:"detector_survey_turned"`
	PoseThreshold  float64 `json:"pose_score_threshold"`
	Method         string  `json:"mask_method"`
	Shape          string  `json:"mask_shape"`
	Fill           string  `json:"mask_fill"`
	Color          string  `json:"mask_color,omitempty"`
	Scale          float64 `json:"mask_scale"`
	MaxSize        float64 `json:"mask_max_size"`
	OnUncertain    string  `json:"mask_on_uncertain"`
	// Also lists what is masked besides people.
	Also []string `json:"mask_also,omitempty"`
	// Regions are the parts of the frame that are always or never masked.
	Regions  []Region `json:"mask_regions"`
	Provider string   `json:"inference_provider"`
}

// Region is a part of the frame that is always or never masked. From and To are in seconds from the first frame.
type Region struct {
	Action  string       `json:"action"`
	Polygon [][2]float64 `json:"polygon"`
	From    float64      `json:"from_s"`
	To      float64      `json:"to_s"`
}

// summary counts the frames.
type summary struct {
	Frames   int     `json:"frames"`
	Duration float64 `json:"duration_s"`
	Analyzed int     `json:"frames_judged"`
	// Looks is the number of analyzed frames by how thoroughly they were searched.
	Looks       map[record.Look]int `json:"frames_by_look"`
	MaskedWhole int                 `json:"frames_masked_whole"`
	PeopleMax   int                 `json:"people_max"`
	Masks       int                 `json:"masks"`
	// ByOrigin is the number of masks by mask.Origin.
	ByOrigin map[mask.Origin]int `json:"masks_by_origin"`
	// NobodyFound means that nobody was found in any frame.
	NobodyFound bool `json:"nobody_found"`
}

// document is a report without its frames, which come last.
type document struct {
	Schema  string    `json:"schema"`
	Created time.Time `json:"created"`
	About
	Summary summary  `json:"summary"`
	Weakest []Moment `json:"weakest"`
}

// Recorder collects what a report says about the frames of a video. It stores the frames in a file, so that its memory
// does not grow with the video. It is not safe for concurrent use.
type Recorder struct {
	file     *os.File
	hash     hash.Hash // of the content of the file
	buffered *bufio.Writer
	line     []byte
	summary  summary
	begun    bool          // whether first is known
	first    time.Duration // presentation time of the video's first frame
	last     time.Duration
	moments  moments
	expected []int            // frames to take pictures of as long as nobody is found
	samples  map[int]*picture // pictures of the expected frames
}

// NewRecorder returns a recorder that uses a new file at temp, which the caller removes.
func NewRecorder(temp string) (*Recorder, error) {
	file, err := durable.Create(temp)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return newRecorder(file), nil
}

// NewPart returns a recorder for the frames of a part of a video, for Append. It uses a new file at temp. first is the
// presentation time of the video's first frame.
func NewPart(temp string, first time.Duration) (*Recorder, error) {
	r, err := NewRecorder(temp)
	if err == nil {
		r.first, r.begun = first, true
	}
	return r, err
}

func newRecorder(file *os.File) *Recorder {
	r := &Recorder{file: file, hash: sha256.New(),
		summary: summary{ByOrigin: map[mask.Origin]int{}, Looks: map[record.Look]int{}}}
	r.buffered = bufio.NewWriterSize(io.MultiWriter(file, r.hash), 64<<10)
	return r
}

// Add adds the next frame. It does not keep rec.
func (r *Recorder) Add(rec *record.Frame) error {
	r.count(rec)
	r.line = r.line[:0]
	if r.summary.Frames > 1 {
		r.line = append(r.line, ",\n"...)
	}
	r.line = appendFrame(r.line, rec, r.first)
	if _, err := r.buffered.Write(r.line); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// count adds a frame to the summary and the moments.
func (r *Recorder) count(rec *record.Frame) {
	s := &r.summary
	if !r.begun {
		r.first, r.begun = rec.PTS, true
	}
	r.last = rec.PTS
	s.Frames++
	if rec.Analyzed && rec.Err == nil {
		s.Analyzed++
		s.Looks[rec.Look]++
	}
	if rec.WholeFrameMasked {
		s.MaskedWhole++
	}
	s.PeopleMax = max(s.PeopleMax, rec.People)
	s.Masks += len(rec.Heads)
	for _, h := range rec.Heads {
		s.ByOrigin[h.Origin]++
	}
	r.moments.add(rec, r.first)
}

// Picture takes pictures of the possibly weakest moments in the frame that was added last, anonymized as it was
// encoded, for a contact sheet with the given number of tiles. Without pictures, WriteSheet has to decode the output,
// which takes time when everything else is done. The caller must make sure that the output shows what was encoded, or
// call Forget.
func (r *Recorder) Picture(frame *media.Frame, tiles int) {
	r.moments.tiles = tiles
	r.moments.take(frame)
	switch {
	case r.summary.PeopleMax > 0:
		r.expected, r.samples = nil, nil
	case slices.Contains(r.expected, frame.Index):
		r.samples[frame.Index] = photograph(frame, Moment{Reason: NobodyFound, Frame: frame.Index})
	}
}

// Expect sets the frames that NobodyFound will probably add. Picture takes pictures of them as long as nobody is found.
func (r *Recorder) Expect(frames []int) {
	r.expected, r.samples = frames, map[int]*picture{}
}

// Forget discards all pictures.
func (r *Recorder) Forget() { r.moments.forget() }

// NobodyFound adds a frame to review of a video in which nobody was found. at is the time since the first frame.
func (r *Recorder) NobodyFound(frame int, at time.Duration) {
	t := seconds(at)
	r.summary.NobodyFound = true
	r.moments.sample = append(r.moments.sample,
		Moment{Reason: NobodyFound, At: Timecode(t), Frame: frame, Time: t, FirstFrame: frame, LastFrame: frame,
			picture: r.samples[frame]})
}

// Weakest returns the moments to check first, the weakest first. No frames may be added afterward.
func (r *Recorder) Weakest() []Moment { return r.moments.weakest() }

// Write writes the report to a new file at path.
func (r *Recorder) Write(path string, about About) error {
	if err := r.write(path, about); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func (r *Recorder) write(path string, about About) (err error) {
	if err := r.buffered.Flush(); err != nil {
		return err
	}
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r.summary.Duration = seconds(r.last - r.first)
	if r.summary.Frames > 1 { // assume the mean frame duration for the last one
		r.summary.Duration *= float64(r.summary.Frames) / float64(r.summary.Frames-1)
		r.summary.Duration = math.Round(r.summary.Duration*1000) / 1000
	}
	head, err := json.MarshalIndent(document{
		Schema: Schema, Created: time.Now().UTC().Truncate(time.Second), About: about, Summary: r.summary,
		Weakest: r.Weakest(),
	}, "", "  ")
	if err != nil {
		return err
	}
	file, err := durable.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	const closing = "\n}"
	if _, err = file.Write(append(head[:len(head)-len(closing)], ",\n  \"frames\": [\n"...)); err != nil {
		return err
	}
	if _, err = io.Copy(file, r.file); err != nil {
		return err
	}
	_, err = file.WriteString("\n  ]\n}\n")
	return err
}

// Close closes the file at temp. It may be called more than once.
func (r *Recorder) Close() { _ = r.file.Close() }

// appendFrame appends a frame as one line. Boxes are [left, top, right, bottom] in pixels.
func appendFrame(b []byte, rec *record.Frame, first time.Duration) []byte {
	b = append(b, `    {"frame":`...)
	b = strconv.AppendInt(b, int64(rec.Index), 10)
	b = append(b, `,"time_s":`...)
	b = appendNumber(b, seconds(rec.PTS-first), 3)
	b = append(b, `,"judged":`...)
	b = strconv.AppendBool(b, rec.Analyzed && rec.Err == nil)
	if rec.Look != "" {
		b = append(append(append(b, `,"look":"`...), rec.Look...), '"')
		b = append(append(append(b, `,"look_cause":"`...), rec.LookCause...), '"')
	}
	b = strconv.AppendInt(append(b, `,"people_visible":`...), int64(rec.People), 10)
	if rec.WholeFrameMasked {
		b = append(b, `,"masked_whole":true`...)
	}
	if rec.Reason != "" {
		b = append(b, `,"error":`...)
		b = strconv.AppendQuote(b, rec.Reason)
	}
	b = appendList(b, "people", len(rec.Found), func(b []byte, i int) []byte {
		b = appendDetection(b, rec.Found[i].Box, rec.Found[i].Score)
		if rec.Found[i].Candidate {
			b = append(b, `,"candidate":true`...)
		}
		return b
	})
	b = appendList(b, "faces", len(rec.Faces), func(b []byte, i int) []byte {
		return appendDetection(b, rec.Faces[i].Box, rec.Faces[i].Score)
	})
	b = appendList(b, "masks", len(rec.Heads), func(b []byte, i int) []byte {
		return appendMask(b, rec.Heads[i])
	})
	b = appendList(b, "silhouettes", len(rec.Bodies), func(b []byte, i int) []byte {
		return appendBody(b, rec.Bodies[i])
	})
	return append(b, '}')
}

func appendList(b []byte, key string, n int, appendOne func([]byte, int) []byte) []byte {
	if n == 0 {
		return b
	}
	b = append(b, `,"`+key+`":[`...)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendOne(append(b, '{'), i), '}')
	}
	return append(b, ']')
}

func appendDetection(b []byte, box vision.Box, score float32) []byte {
	b = append(b, `"box":[`...)
	for i, v := range [...]float32{box.X0, box.Y0, box.X1, box.Y1} {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendNumber(b, float64(v), 0)
	}
	b = append(b, `],"score":`...)
	return appendNumber(b, float64(score), 3)
}

// appendNumber appends a number. NaN and infinities, which JSON does not support, become 0.
func appendNumber(b []byte, v float64, decimals int) []byte {
	return strconv.AppendFloat(b, finite(v), 'f', decimals, 64)
}

func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }

// Identify returns the name, size and digest of a file, which it reads completely. It returns early if the context
// ends.
func Identify(ctx context.Context, path string) (File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return File{}, fmt.Errorf("hash: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, &reader{ctx, file})
	if err != nil {
		return File{}, fmt.Errorf("hash %s: %w", path, err)
	}
	return File{Name: filepath.Base(path), Size: size, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}

type reader struct {
	ctx context.Context
	io.Reader
}

func (r *reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}
