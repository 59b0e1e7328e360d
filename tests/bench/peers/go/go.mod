module leadstream/bench

go 1.26
