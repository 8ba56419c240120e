// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package recipe_test

import (
	"strings"
	"testing"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/recipe"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// reference_test.go, at the root of this module, compares the results of the recipes with the original framework.

// TestEveryModelHasARecipe checks that each TensorFlow.js model in the catalog has a recipe, and that a recipe rejects
// the graph of another model and says what is missing.
func TestEveryModelHasARecipe(t *testing.T) {
	catalog, err := models.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range catalog.Models {
		if m.Source.Format != models.FormatTFJS {
			continue
		}
		_, err := recipe.Build(m.Family, &tfjs.Model{Nodes: map[string]*tfjs.Node{},
			Weights: map[string]*tfjs.Tensor{}})
		if err == nil || strings.Contains(err.Error(), "no recipe") || !strings.Contains(err.Error(), m.Family) {
			t.Errorf("%s: got %v", m.Name, err)
		}
	}
	if _, err := recipe.Build("yolo", nil); err == nil ||
		!strings.Contains(err.Error(), `no recipe for model family "yolo"`) {
		t.Errorf("got %v", err)
	}
}
