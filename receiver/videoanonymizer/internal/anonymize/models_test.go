// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference/inferencetest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// TestCatalogFamiliesExist checks that the family of every model in the catalog is registered for the model's task.
func TestCatalogFamiliesExist(t *testing.T) {
	catalog, err := models.Load()
	require.NoError(t, err)
	require.NotEmpty(t, catalog.Models)
	session := inferencetest.New(inferencetest.Options{}) // fits no family, so that each one rejects it
	open := map[models.Task]func(family string) error{
		models.PersonDetection: func(family string) error {
			_, err := vision.NewDetector(family, session, vision.DetectorOptions{})
			return err
		},
		models.FaceDetection: func(family string) error {
			_, err := vision.NewFaceDetector(family, session, vision.FaceOptions{})
			return err
		},
		models.PoseEstimation: func(family string) error {
			_, err := vision.NewPoseEstimator(family, session, vision.PoseOptions{})
			return err
		},
		models.Segmentation: func(family string) error {
			_, err := vision.NewSegmenter(family, session, vision.SegmenterOptions{})
			return err
		},
	}
	open[models.ScreenDetection] = open[models.PersonDetection]
	const unknown = "is not known"
	assert.ErrorContains(t, open[models.PersonDetection]("none such"), unknown)
	for _, model := range catalog.Models {
		err := open[model.Task](model.Family)
		require.Error(t, err, model.Name)
		assert.NotContains(t, err.Error(), unknown, model.Name)
	}
}

// TestProfilesShareModels checks that a profile opens no model that is already open.
func TestProfilesShareModels(t *testing.T) {
	cfg := config.Default()
	cfg.Models.Directory = "../../../../models" // filled by `make models`
	plain, err := OpenModels(cfg, Remote{})
	require.NoError(t, err)
	defer plain.Close()
	cfg.Profiles = []config.Profile{{Name: "a"}, {Name: "b"}}
	profiled, err := OpenModels(cfg, Remote{})
	require.NoError(t, err)
	defer profiled.Close()
	assert.Len(t, profiled.sessions, len(plain.sessions))
	assert.Len(t, profiled.profiles, 2)
}
