// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pipeline"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// libraryEnv is the environment variable with the path of the ONNX Runtime library.
const libraryEnv = "ONNXRUNTIME_LIBRARY"

// Models are the configured models, opened.
type Models struct {
	profileLooks       // of the configuration in use
	second       looks // for config.AsSecondLook, with the same sessions; empty without console
	profiles     map[string]profileLooks
	sessions     []inference.Session
	client       *oip.Client   // nil if no model runs on servers
	pool         pipeline.Pool // for all videos: the cores limit what the sessions do at once
}

// profileLooks are the looks of a profile, or of the receiver's own configuration, with the same sessions.
type profileLooks struct {
	looks
	thorough looks // for config.AsThorough
	pictures looks // likewise, for still pictures
}

// with returns the same models, with the looks of another configuration.
func (m *Models) with(p profileLooks) *Models {
	as := *m
	as.profileLooks = p
	return &as
}

// looks are the models of a configuration, set up to search frames.
type looks struct {
	// quick, full, region and turned are the pipeline's options of the same names. Without surveys, only quick is set.
	quick, full, region, turned pipeline.Look
	pose                        vision.PoseEstimator
	segmenter                   vision.Segmenter // nil with method heads
	others                      vision.Detector  // nil unless mask::also
	used                        []usedFile
}

// usedFile is a model's file, and the session that runs it or that compares servers with it.
type usedFile struct {
	report.Model
	session inference.Session
}

// identify identifies the models. For models on servers, the result may change whenever a server comes back.
func (l *looks) identify() []report.Model {
	all := make([]report.Model, len(l.used))
	for i, used := range l.used {
		all[i] = used.Model
		if remote, ok := used.session.(*oip.Session); ok {
			for _, identity := range remote.Identities() {
				all[i].Served = append(all[i].Served, report.Served{Version: identity.Version, Answer: identity.Answer})
			}
		}
	}
	return all
}

// CheckModels checks whether OpenModels has what it needs: ONNX Runtime, its execution provider, and each model's file.
// It opens no model, which would take seconds, and GPU memory that a running collector uses. It reports every error,
// each with its key.
func CheckModels(cfg *config.Config) error {
	directory, err := openRuntime(cfg)
	if directory == "" {
		return err
	}
	errs := []error{err}
	if err == nil {
		if err := onnx.CheckProvider(sessionOptions(cfg)); err != nil {
			errs = append(errs, fmt.Errorf("inference::provider: %w", err))
		}
	}
	if _, err := remoteTLS(cfg); err != nil {
		errs = append(errs, err)
	}
	var verified []usedModel
	for _, used := range allModels(cfg) {
		if slices.Contains(verified, used) {
			continue
		}
		verified = append(verified, used)
		if err := verifyModel(directory, used.name); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", used.key, err))
		}
	}
	return errors.Join(errs...)
}

// usedModel is a model and the configuration key that names it, or whose default it is with recall: thorough.
type usedModel struct{ key, name string }

// allModels returns the models of all passes and looks, some of them more than once.
func allModels(cfg *config.Config) []usedModel {
	all := append(modelsOf(cfg), modelsOf(cfg.AsThorough())...)
	if cfg.Console != nil {
		all = append(all, modelsOf(cfg.AsSecondLook())...)
	}
	for _, profile := range cfg.Profiled() {
		all = append(append(all, modelsOf(profile)...), modelsOf(profile.AsThorough())...)
	}
	return all
}

// modelsOf returns the models that the configuration needs.
func modelsOf(cfg *config.Config) (used []usedModel) {
	add := func(key string, names ...string) {
		for _, name := range names {
			if name != "" {
				used = append(used, usedModel{key, name})
			}
		}
	}
	detector := rolesOf(cfg.Detector)
	add("detector::model", detector.Model)
	add("detector::also", detector.Also...)
	if detector.Survey.Enabled {
		add("detector::survey::models", detector.Survey.Models...)
		add("detector::survey::faces", detector.Survey.Faces)
	}
	add("detector::faces", detector.Faces)
	add("pose::model", cfg.Pose.Model)
	if cfg.Mask.Method == mask.Whitelist {
		add("segmentation::model", cfg.Segmentation.Model)
	}
	if len(cfg.Mask.Also) > 0 {
		add("mask::also", screenModel)
	}
	return used
}

// openRuntime loads ONNX Runtime, and returns the models' directory, or "" if there is none.
func openRuntime(cfg *config.Config) (directory string, err error) {
	directory, err = models.Dir(cfg.Models.Directory)
	if err != nil {
		return "", fmt.Errorf("models::directory: %w", err)
	}
	if err := onnx.Initialize(runtimeLibrary(cfg, directory)); err != nil {
		return directory, fmt.Errorf("inference::library: %w (run `make models`, or set inference::library or %s "+
			"to the path of libonnxruntime.so)", err, libraryEnv)
	}
	return directory, nil
}

func runtimeLibrary(cfg *config.Config, directory string) string {
	return cmp.Or(cfg.Inference.Library, os.Getenv(libraryEnv),
		models.ProviderLibrary(directory, cfg.Inference.Provider))
}

// rolesOf moves a face detection model from detector::model to detector::faces: people who show no face are then not
// detected.
func rolesOf(detector config.Detector) config.Detector {
	if taskOf(detector.Model) == models.FaceDetection {
		detector.Faces, detector.Model = detector.Model, ""
	}
	return detector
}

// OpenModels loads ONNX Runtime and the configured models, which CheckModels has verified. It reports every error, each
// with its key, not only the first. Connect then connects to the servers.
func OpenModels(cfg *config.Config, remote Remote) (*Models, error) {
	directory, err := openRuntime(cfg)
	if err != nil {
		return nil, err
	}
	m := &Models{pool: pipeline.NewPool(parallelInferences(cfg))}
	if m.client, err = remote.client(cfg); err != nil {
		return nil, err
	}
	o := &opener{directory: directory, client: m.client, opened: map[string]openedModel{}}
	m.profileLooks, err = o.openProfile(cfg)
	if err == nil && cfg.Console != nil {
		m.second, err = o.openLooks(cfg.AsSecondLook())
	}
	if err == nil {
		m.profiles, err = o.openProfiles(cfg)
	}
	for _, model := range o.opened {
		m.sessions = append(m.sessions, model.session)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// opener opens models, each only once, whatever looks use it.
type opener struct {
	directory string
	client    *oip.Client // nil if no model runs on servers
	opened    map[string]openedModel

	cfg      *config.Config // whose looks are being opened
	detector config.Detector
	looks    looks
	fine     bool // for still pictures
}

type openedModel struct {
	models.Model
	file    report.File
	session inference.Session
}

func (o *opener) openLooks(cfg *config.Config) (looks, error) {
	o.cfg, o.detector, o.looks = cfg, rolesOf(cfg.Detector), looks{}
	var errs []error
	for _, used := range modelsOf(cfg) {
		if err := o.open(used); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", used.key, err))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, o.openQuick(), o.openSurvey(), o.openPose(), o.openSegmenter(), o.openOthers())
	}
	return o.looks, errors.Join(errs...)
}

func (o *opener) openProfiles(cfg *config.Config) (map[string]profileLooks, error) {
	all := map[string]profileLooks{}
	for _, profile := range cfg.Profiled() {
		p, err := o.openProfile(profile)
		if err != nil {
			return nil, fmt.Errorf("profiles[%s]::%w", profile.Profile(), err)
		}
		all[profile.Profile()] = p
	}
	return all, nil
}

// openProfile opens the looks of a profile, or of the receiver's own configuration.
func (o *opener) openProfile(cfg *config.Config) (p profileLooks, err error) {
	if p.looks, err = o.openLooks(cfg); err != nil {
		return p, err
	}
	if p.thorough, err = o.openLooks(cfg.AsThorough()); err != nil {
		return p, err
	}
	o.fine = true
	defer func() { o.fine = false }()
	p.pictures, err = o.openLooks(cfg.AsThorough())
	return p, err
}

func (o *opener) open(used usedModel) error {
	opened, ok := o.opened[used.name]
	if !ok {
		path, model, err := findModel(o.directory, used.name)
		if err != nil {
			return err
		}
		opened.Model = model
		if opened.file, err = report.Identify(context.Background(), path); err != nil {
			return err
		}
		if opened.session, err = o.session(path, used.name); err != nil {
			return err
		}
		o.opened[used.name] = opened
	}
	o.looks.used = append(o.looks.used, usedFile{session: opened.session, Model: report.Model{
		Key: used.key, Name: cmp.Or(opened.Name, opened.file.Name), SHA256: opened.file.SHA256,
	}})
	return nil
}

// session opens a model, on the servers if it is to run there.
func (o *opener) session(path, name string) (inference.Session, error) {
	if !o.cfg.Inference.Remote.Serves(name) {
		return onnx.Open(path, sessionOptions(o.cfg))
	}
	reference, err := onnx.Open(path, onnx.Options{Provider: "cpu", Threads: runtime.NumCPU()})
	if err != nil {
		return nil, err
	}
	session, err := o.client.Open(context.Background(), oip.Model{
		Name: config.ServedName(name), Reference: reference, MaxBatch: o.maxBatch(name),
	})
	if err != nil {
		return nil, errors.Join(err, reference.Close())
	}
	return session, nil
}

// maxBatch returns the largest batch of a model: models that process people get several at once.
func (o *opener) maxBatch(name string) int {
	if name == o.cfg.Pose.Model || name == o.cfg.Segmentation.Model {
		return o.cfg.Pose.MaxPeoplePerBatch
	}
	return 1
}

// openQuick opens the detectors that search every analyzed frame.
func (o *opener) openQuick() error {
	cfg := o.detector
	sharp, errSharp := o.openUpright(cfg.ScoreThreshold)
	blurred, errBlurred := o.openUpright(min(cfg.ScoreThreshold, cfg.BlurredThreshold))
	faces, err := o.newFaces("detector::faces", cfg.Faces, vision.FaceOptions{
		ScoreThreshold: float32(cfg.FaceThreshold), Tiles: cfg.Tiles, Fine: o.fine,
	})
	o.looks.quick = pipeline.Look{Detector: sharp, Blurred: blurred, Faces: faces}
	return errors.Join(errSharp, errBlurred, err)
}

// openUpright opens the detectors of people in a frame that is not turned, with a score threshold; nil if there are
// none.
func (o *opener) openUpright(score float64) (vision.Detector, error) {
	cfg := o.detector
	var union detectors
	if cfg.Model != "" {
		union.add(o.newDetector("detector::model", cfg.Model, vision.DetectorOptions{
			ScoreThreshold:     float32(score),
			CandidateThreshold: float32(cfg.CandidateThreshold),
			LongSide:           cfg.InputSize.LongSide,
			Width:              cfg.InputSize.Width,
			Height:             cfg.InputSize.Height,
			Tiles:              cfg.Tiles,
		}))
	}
	for _, name := range cfg.Also {
		union.add(o.newDetector("detector::also", name, vision.DetectorOptions{Tiles: cfg.Tiles}))
	}
	return union.join(cfg), union.err
}

const (
	// surveyScore and surveyCandidate are the scores 0..1 from which a person found by a survey counts: alone, and if a
	// pose, a face or a track confirms the person.
	surveyScore, surveyCandidate = 0.3, 0.2
	// surveyFaceScore is the score 0..1 from which a face found by a survey counts, and surveyFaceLongSide the length, in
	// pixels, of the longer side of the frame when it is searched for faces. In the crowd of `make recall`, these cover
	// 369 of 378 heads, 960 pixels and a score of 0.5 cover 367, an input 1.5 times as long 369, and no faces 363.
	surveyFaceScore    = 0.4
	surveyFaceLongSide = 1280
	// regionLongSide is the length, in pixels, of the longer side of a part of a frame when it is searched.
	regionLongSide = 320
	// turnedScore is the score 0..1 from which a person found in a turned frame counts: furniture looks like people more
	// often when turned on its side than upright.
	turnedScore = 0.5
)

// openSurvey opens the additional detectors of surveys.
func (o *opener) openSurvey() error {
	cfg := o.detector
	if !cfg.Survey.Enabled {
		return nil
	}
	var full, region, turned detectors
	for _, name := range cfg.Survey.Models {
		opts := vision.DetectorOptions{ScoreThreshold: surveyScore, CandidateThreshold: surveyCandidate, Detail: true}
		full.add(o.newDetector("detector::survey::models", name, opts))
		opts.Detail, opts.LongSide = false, regionLongSide
		region.add(o.newDetector("detector::survey::models", name, opts))
	}
	faces, err := o.newFaces("detector::survey::faces", cfg.Survey.Faces, vision.FaceOptions{
		ScoreThreshold: surveyFaceScore, LongSide: surveyFaceLongSide,
	})
	o.looks.full = pipeline.Look{Detector: full.join(cfg), Faces: faces}
	o.looks.region = pipeline.Look{Detector: region.join(cfg)}
	if cfg.Survey.Turned {
		if cfg.Model != "" {
			turned.add(o.newDetector("detector::model", cfg.Model, vision.DetectorOptions{ScoreThreshold: turnedScore}))
		}
		o.looks.turned = pipeline.Look{Detector: turned.join(cfg), Faces: o.looks.quick.Faces}
	}
	return errors.Join(full.err, region.err, turned.err, err)
}

// detectors are the detectors of one look.
type detectors struct {
	all []vision.Detector
	err error
}

func (d *detectors) add(detector vision.Detector, err error) {
	d.all, d.err = append(d.all, detector), errors.Join(d.err, err)
}

// join returns a detector that finds what any of them finds, or nil if there are none.
func (d *detectors) join(cfg config.Detector) vision.Detector {
	if len(d.all) == 0 {
		return nil
	}
	return vision.NewUnion(d.all, float32(cfg.OverlapThreshold), float32(cfg.MinPersonSize))
}

// newDetector returns a detector with an opened model. If the options have no threshold, the catalog's applies.
func (o *opener) newDetector(key, name string, opts vision.DetectorOptions) (vision.Detector, error) {
	model := o.opened[name]
	opts.ScoreThreshold = cmp.Or(opts.ScoreThreshold, model.Thresholds.Score, float32(o.detector.ScoreThreshold))
	opts.OverlapThreshold, opts.Fine = float32(o.detector.OverlapThreshold), o.fine
	detector, err := vision.NewDetector(model.Family, model.session, opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return detector, nil
}

// newFaces returns a face detector with an opened model, or nil if the name is empty.
func (o *opener) newFaces(key, name string, opts vision.FaceOptions) (vision.FaceDetector, error) {
	if name == "" {
		return nil, nil
	}
	model := o.opened[name]
	opts.OverlapThreshold = vision.FaceOverlap
	faces, err := vision.NewFaceDetector(model.Family, model.session, opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return faces, nil
}

func (o *opener) openPose() (err error) {
	cfg := o.cfg.Pose
	model := o.opened[cfg.Model]
	o.looks.pose, err = vision.NewPoseEstimator(model.Family, model.session, vision.PoseOptions{
		MaxPeoplePerBatch: cfg.MaxPeoplePerBatch,
		BoxScale:          float32(cfg.BoxScale),
	})
	if err != nil {
		return fmt.Errorf("pose::model: %w", err)
	}
	return nil
}

// silhouetteScore is the probability from which a pixel belongs to a person. It is below one half: in doubt, it does.
const silhouetteScore = 0.3

func (o *opener) openSegmenter() (err error) {
	if o.cfg.Mask.Method != mask.Whitelist {
		return nil
	}
	model := o.opened[o.cfg.Segmentation.Model]
	o.looks.segmenter, err = vision.NewSegmenter(model.Family, model.session, vision.SegmenterOptions{
		ScoreThreshold:    silhouetteScore,
		MaxPeoplePerBatch: o.cfg.Pose.MaxPeoplePerBatch,
		BoxScale:          float32(o.cfg.Pose.BoxScale),
	})
	if err != nil {
		return fmt.Errorf("segmentation::model: %w", err)
	}
	return nil
}

// Close frees the models.
func (m *Models) Close() error {
	var errs []error
	if m.client != nil {
		errs = append(errs, m.client.Close())
	}
	for _, session := range m.sessions {
		errs = append(errs, session.Close())
	}
	return errors.Join(errs...)
}

// sessionOptions distributes the cores. On a CPU, many single-threaded inferences in parallel achieve more than one
// inference at a time with many threads; an accelerator runs one at a time.
func sessionOptions(cfg *config.Config) onnx.Options {
	return onnx.Options{
		Threads:         max(1, cfg.Inference.Threads),
		Parallel:        parallelInferences(cfg),
		Provider:        cfg.Inference.Provider,
		ProviderOptions: cfg.Inference.ProviderOptions,
		Timeout:         cfg.Inference.Timeout,
	}
}

// remoteFrames is how many frames are analyzed at once if models run on servers, whatever the number of cores. More
// would not save enough time for the memory that they take.
const remoteFrames = 8

func parallelInferences(cfg *config.Config) int {
	if cfg.Inference.Sessions > 0 {
		return cfg.Inference.Sessions
	}
	parallel := max(1, runtime.GOMAXPROCS(0)/max(1, cfg.Inference.Threads))
	if remote := cfg.Inference.Remote; remote.Enabled() {
		return max(parallel, min(remoteFrames, remote.MaxInFlight))
	}
	return parallel
}

// taskOf returns the task of a model in the catalog; empty for other models.
func taskOf(name string) models.Task {
	catalog, err := models.Load()
	if err != nil {
		return ""
	}
	model, err := catalog.Lookup(name)
	if err != nil {
		return ""
	}
	return model.Task
}

// findModel returns the path of a model's file and, if the model is in the catalog, its entry.
func findModel(directory, name string) (path string, model models.Model, err error) {
	if config.IsModelPath(name) {
		return name, model, nil
	}
	catalog, err := models.Load()
	if err == nil {
		model, err = catalog.Lookup(name)
	}
	return model.Path(directory), model, err
}

// verifyModel checks that a model's file exists, and is the one in the catalog if the model is there.
func verifyModel(directory, name string) error {
	path, model, err := findModel(directory, name)
	if err != nil {
		return err
	}
	if model.Name != "" {
		return model.Verify(path)
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%w: there is no file at %s: write the path of an .onnx file, or a name from the catalog",
			inference.ErrModel, path)
	}
	return nil
}
