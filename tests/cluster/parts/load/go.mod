// The test workload: one static program, standard library only.
module plumb.test/load

go 1.26.0
